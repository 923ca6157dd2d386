"""ringpost between real servers: to Postfix, to Exim, to Dovecot by LMTP, and from Postfix."""

import smtplib

from arrived import difference, in_mailbox
from corpus import messages
from peers import Dovecot, Exim, Postfix
from relay import RelayTest, gateway, lmtp
from wire import Client

COUNT = 40


def suitable(fits=lambda content: True):
    """Messages of the corpus that every server takes as they are: with a header and a body, in lines that are no longer than the
    standard has them, without NUL, and without the fields that servers take away or count."""
    found = []
    for message in messages():
        content = message.ended()
        header, empty, _ = content.partition(b"\r\n\r\n")
        lines = content.split(b"\r\n")
        first = header.split(b":", 1)[0]
        clean = empty and b"\0" not in content and all(len(line) < 990 for line in lines) and first.replace(b"-", b"").isalnum()
        own = (b"\nreturn-path:", b"\nbcc:", b"\nresent-bcc:", b"\ncontent-length:", b"\nreceived:", b"\ndelivered-to:", b"\nx-original-to:")
        low = b"\n" + header.lower()
        if clean and len(content) < 200_000 and not any(name in low for name in own) and header.isascii() and fits(content):
            found.append(content)
    step = max(1, len(found) // COUNT)
    return found[::step][:COUNT]


class NextHopTest(RelayTest):
    def send_all(self, server, contents):
        with Client(server.smtp) as client:
            for content in contents:
                client.envelope(" BODY=8BITMIME", recipient="box@dest.test")
                reply = client.data(content)
                self.assertEqual(reply.code, 250, reply)

    def assert_arrived(self, contents, mails):
        """Each content stands at the end of one mail, octet by octet; before it are trace fields alone."""
        left = list(mails)
        for number, content in enumerate(contents):
            wanted = in_mailbox(content)
            found = next((mail for mail in left if mail.endswith(wanted)), None)
            if found is None:
                nearest = max(left, key=lambda mail: len(set(mail.split(b"\n")) & set(wanted.split(b"\n"))))
                self.fail(difference(f"message {number}", wanted, nearest[-len(wanted) :]))
            left.remove(found)
            trace = found[: len(found) - len(wanted)].lower()
            self.assertIn(b"\n\tby mx.example.org (ringpost)", trace)
            names = {line.split(b":", 1)[0] for line in trace.splitlines() if line[:1] not in (b"\t", b" ")}
            self.assertLessEqual(
                names, {b"return-path", b"received", b"delivered-to", b"x-original-to", b"envelope-to", b"delivery-date"}, trace
            )

    def test_postfix(self):
        postfix = self.peer(Postfix("local_header_rewrite_clients ="))
        server = self.relay(gateway(postfix))
        contents = suitable()
        self.send_all(server, contents)
        self.assert_arrived(contents, postfix.wait_for(len(contents)))
        self.wait_until_empty(server)

    def test_exim(self):
        exim = self.peer(Exim())
        server = self.relay(gateway(exim))
        contents = suitable()
        self.send_all(server, contents)
        self.assert_arrived(contents, exim.wait_for(len(contents)))
        self.wait_until_empty(server)

    def test_dovecot_over_tcp(self):
        dovecot = self.peer(Dovecot())
        server = self.relay(lmtp(f"<host>127.0.0.1</host><port>{dovecot.port}</port>"))
        contents = suitable()
        self.send_all(server, contents)
        self.assert_arrived(contents, dovecot.wait_for(len(contents)))
        self.wait_until_empty(server)

    def test_dovecot_over_a_socket_for_several_recipients(self):
        dovecot = self.peer(Dovecot())
        server = self.relay(lmtp(f"<socket>{dovecot.home}/run/lmtp</socket>"))
        recipients = [f"box{number}@dest.test" for number in range(5)]
        self.send(server, b"Subject: for five\r\n\r\n.\r\n..\r\nends\r\n", recipients)
        for mail in dovecot.wait_for(5):
            self.assertTrue(mail.endswith(b"Subject: for five\n\n.\n..\nends\n"), mail)
        self.assertEqual(sorted(path.name for path in (dovecot.home / "mail").iterdir()), [f"box{number}" for number in range(5)])
        self.wait_until_empty(server)

    def test_from_postfix_to_dovecot(self):
        dovecot = self.peer(Dovecot())
        server = self.relay(lmtp(f"<host>127.0.0.1</host><port>{dovecot.port}</port>"))
        postfix = self.peer(Postfix(f"relayhost = [127.0.0.1]:{server.smtp[1]}\nlocal_header_rewrite_clients ="))
        contents = [f"Subject: {number}\r\n\r\n.{number}\r\n".encode() for number in range(20)]
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as client:
            for content in contents:
                client.sendmail("sender@example.org", ["box@far.test"], content)
        mails = dovecot.wait_for(len(contents))
        for content in contents:
            found = [mail for mail in mails if mail.endswith(in_mailbox(content))]
            self.assertEqual(len(found), 1, content)
            self.assertIn(b"by postfix.test (Postfix)", found[0])
            self.assertIn(b"by mx.example.org (ringpost)", found[0])
        self.wait_until_empty(server)

    def test_a_server_that_is_away_for_a_while(self):
        postfix = Postfix("local_header_rewrite_clients =")
        self.addCleanup(postfix.remove)
        server = self.relay(gateway(postfix))
        self.send(server, b"Subject: patience\r\n\r\n", ["box@dest.test"])
        server.wait_for_log(" deferred .*box@dest.test")
        postfix.start()
        self.assertIn(b"Subject: patience\n", postfix.wait_for(1)[0])
        self.wait_until_empty(server)
