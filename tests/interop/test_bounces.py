"""What a sender hears of mail that could not be delivered, as Python's email package and mutt read it (RFC 3464)."""

import email
import email.policy

from peers import Sink
from relay import RelayTest, gateway
from terminal import mutt


class BouncesTest(RelayTest):
    def bounced(self, *faults, recipients=("box@dest.test",), content=b"Subject: Gone?\r\nMessage-ID: <1@example.org>\r\n\r\nThe text.\r\n", parameters="", **others):
        """The report that comes of a mail which the next hop does not take."""
        sink = self.peer(Sink(*(word for fault in faults for word in ("--fault", fault))))
        self.server = self.relay(gateway(sink, **others))
        self.send(self.server, content, recipients, parameters=parameters)
        file = self.server.wait_for(1)[0]
        self.wait_until_empty(self.server)
        return email.message_from_bytes(file.read_bytes(), policy=email.policy.default)

    def parts(self, report):
        """Text, fields for each recipient, and the original, after the form was checked (RFC 6522, RFC 3464 §2)."""
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report.get_param("report-type"), "delivery-status")
        self.assertEqual(report.defects, [])
        self.assertEqual(report["return-path"], "<>")
        self.assertTrue(report["auto-submitted"].startswith("auto-"))
        text, status, original = report.iter_parts()
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        fields = status.get_payload()
        self.assertEqual(fields[0]["reporting-mta"], "dns; mx.example.org")
        return text.get_content(), fields[0], fields[1:], original

    def test_a_recipient_that_is_refused(self):
        text, message, recipients, original = self.parts(self.bounced("rcpt:550"))
        self.assertIn("box@dest.test", text)
        self.assertIn("arrival-date", message)
        self.assertEqual(len(recipients), 1)
        fields = recipients[0]
        self.assertRegex(fields["final-recipient"], r"^rfc822; *box@dest.test$")
        self.assertEqual(fields["action"], "failed")
        self.assertEqual(fields["remote-mta"], "dns; 127.0.0.1")
        self.assertEqual(fields["status"], "5.3.0")
        self.assertEqual(fields["diagnostic-code"], "smtp; 550 5.3.0 Chosen by --fault")
        self.assertIn("Subject: Gone?", original.as_string())

    def test_what_the_sender_said_of_it_is_told(self):
        report = self.bounced("dot:554", parameters=" RET=HDRS ENVID=abc+2Bdef", bounces="")
        _, message, recipients, original = self.parts(report)
        self.assertEqual(message["original-envelope-id"], "abc+def")
        self.assertEqual(recipients[0]["action"], "failed")
        self.assertIn(original.get_content_type(), ("text/rfc822-headers", "message/rfc822-headers"))
        self.assertNotIn("The text.", original.as_string())

    def test_some_of_several_recipients(self):
        recipients = ["good@dest.test", "bad1@dest.test", "bad2@dest.test"]
        _, _, fields, _ = self.parts(self.bounced("rcpt:550:1:bad*", recipients=recipients))
        failed = sorted(field["final-recipient"].split(";")[1].strip() for field in fields)
        self.assertEqual(failed, ["bad1@dest.test", "bad2@dest.test"])

    def test_mutt_shows_it(self):
        self.bounced("rcpt:550")
        screen = mutt(self.server.maildir(), self.server.home, "<first-entry><display-message>", "box@dest.test")
        self.assertIn("box@dest.test", screen)

    def test_a_report_is_never_bounced(self):
        sink = self.peer(Sink("--fault", "rcpt:550"))
        server = self.relay(gateway(sink))
        self.send(server, b"Subject: report\r\n\r\n", ["box@dest.test"], sender="")
        self.wait_until_empty(server)
        self.assertEqual(server.files(), [])
