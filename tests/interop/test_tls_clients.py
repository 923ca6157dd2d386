"""curl, swaks and Python's smtplib over TLS."""

import smtplib
import ssl

from arrived import assert_same_set
from sample import sample
from server import PATIENCE, SENDER, USERS
from tls import TlsTest


class TlsClientsTest(TlsTest):
    def ways(self):
        return [("smtps", self.implicit), ("smtp", self.server.smtp)]

    def test_curl(self):
        contents = sample(10)
        for scheme, (_, port) in self.ways():
            for content in contents:
                url = f"{scheme}://localhost:{port}/client.example.org"
                command = ["curl", "--silent", "--show-error", "--crlf", "--ssl-reqd", "--cacert", self.authority, url]
                to = ["--mail-from", SENDER, "--mail-rcpt", USERS[0], "--upload-file", "-"]
                self.run_client(*command, *to, stdin=content)
        assert_same_set(self, contents * 2, self.server.wait_for(2 * len(contents)), SENDER, USERS[0])

    def test_swaks(self):
        for way, (host, port) in [("--tls-on-connect", self.implicit), ("--tls", self.server.smtp)]:
            arguments = ["--server", host, "--port", str(port), "--from", SENDER, "--to", USERS[0], way]
            verify = ["--tls-verify", "--tls-ca-path", str(self.authority), "--data", "Subject: swaks\\n\\ntext"]
            printed = self.run_client("swaks", *arguments, *verify, "--helo", "client.example.org")
            self.assertRegex(printed, r"TLS started with cipher TLSv1\.[23]:")
            self.assertRegex(printed, r"(?m)^<~  250 2\.6\.0 Message received .*id=")
        assert_same_set(self, [b"Subject: swaks\n\ntext\n"] * 2, self.server.wait_for(2), SENDER, USERS[0])

    def test_smtplib(self):
        context = ssl.create_default_context(cafile=str(self.authority))
        _, port = self.implicit
        with smtplib.SMTP_SSL("localhost", port, timeout=PATIENCE, context=context) as client:
            client.sendmail(SENDER, USERS[0], b"Subject: one\r\n\r\ntext\r\n")
        _, port = self.server.smtp
        with smtplib.SMTP("localhost", port, timeout=PATIENCE) as client:
            self.assertTrue(client.ehlo()[0] == 250 and client.has_extn("starttls"))
            client.starttls(context=context)
            client.ehlo()
            self.assertFalse(client.has_extn("starttls"))
            client.sendmail(SENDER, USERS[0], b"Subject: two\r\n\r\ntext\r\n")
        expected = [b"Subject: one\n\ntext\n", b"Subject: two\n\ntext\n"]
        assert_same_set(self, expected, self.server.wait_for(2), SENDER, USERS[0])
