"""Python's smtplib, over SMTP and LMTP."""

import smtplib

from arrived import assert_same_set, in_mailbox
from corpus import messages
from server import SENDER, USERS, ServedTest


class SmtplibTest(ServedTest):
    def deliver(self, client, address):
        contents = [message.ended() for message in messages()[::4]]
        with client(*address, local_hostname="client.example.org") as session:
            for content in contents:
                refused = session.sendmail(SENDER, USERS[0], content, mail_options=["BODY=8BITMIME"])
                self.assertEqual(refused, {})
        # smtplib ends even a message without any line with a line end.
        expected = [in_mailbox(content) or b"\n" for content in contents]
        assert_same_set(self, expected, self.server.wait_for(len(contents)), SENDER, USERS[0])

    def test_smtp(self):
        self.deliver(smtplib.SMTP, self.server.smtp)

    def test_lmtp(self):
        self.deliver(smtplib.LMTP, self.server.lmtp)

    def test_one_of_two_recipients_is_refused(self):
        with smtplib.SMTP(*self.server.smtp) as session:
            refused = session.sendmail(SENDER, [USERS[0], "nobody@localhost"], b"Subject: one\r\n\r\ntext\r\n")
        self.assertEqual({recipient: code for recipient, (code, _) in refused.items()}, {"nobody@localhost": 550})
        assert_same_set(self, [b"Subject: one\n\ntext\n"], self.server.wait_for(1), SENDER, USERS[0])

    def test_extensions(self):
        with smtplib.SMTP(*self.server.smtp) as session:
            session.ehlo("client.example.org")
            offered = set(session.esmtp_features)
        expected = {"pipelining", "size", "8bitmime", "chunking", "binarymime", "smtputf8", "enhancedstatuscodes", "limits"}
        self.assertEqual(offered, expected)
