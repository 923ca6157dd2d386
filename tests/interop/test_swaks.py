"""swaks, the Swiss army knife for SMTP, over SMTP and LMTP."""

from arrived import assert_same_set
from sample import sample
from server import SENDER, USERS, ServedTest


def untouched(content):
    """Whether swaks sends it as it is: it replaces its own tokens, takes an mbox line away, and parts a header from a body."""
    header_and_body = content.partition(b"\n\n")[2] and not content.startswith((b"From ", b"\n"))
    return header_and_body and b"\\n" not in content and b"%" not in content


class SwaksTest(ServedTest):
    def deliver(self, protocol, address):
        contents = sample(30, untouched)
        for content in contents:
            file = self.server.home / "message"
            # swaks writes the line end before the final dot itself.
            file.write_bytes(content.removesuffix(b"\n"))
            host, port = address
            arguments = ["--protocol", protocol, "--server", host, "--port", str(port), "--from", SENDER, "--to", USERS[0]]
            printed = self.run_client("swaks", *arguments, "--helo", "client.example.org", "--data", f"@{file}")
            self.assertRegex(printed, r"(?m)^<-  250 2\.6\.0 Message received .*id=")
        assert_same_set(self, contents, self.server.wait_for(len(contents)), SENDER, USERS[0])

    def test_smtp(self):
        self.deliver("SMTP", self.server.smtp)

    def test_esmtp(self):
        self.deliver("ESMTP", self.server.smtp)

    def test_lmtp(self):
        self.deliver("LMTP", self.server.lmtp)

    def test_pipelining(self):
        host, port = self.server.smtp
        to = ["--from", SENDER, "--to", ",".join(USERS), "--data", "Subject: pipelined\\n\\ntext"]
        self.run_client("swaks", "--server", host, "--port", str(port), "--pipeline", *to)
        for user in USERS:
            assert_same_set(self, [b"Subject: pipelined\n\ntext\n"], self.server.wait_for(1, user), SENDER, user)

    def test_strangers_cannot_relay(self):
        host, port = self.server.smtp
        arguments = ["--server", host, "--port", str(port), "--from", SENDER, "--to", "somebody@example.net"]
        self.assertRegex(self.run_client("swaks", *arguments, fails=True), r"(?m)^<\*\* 550 5\.7\.1 ")
