"""msmtp, over SMTP, SMTP with its own LMTP mode, as a sendmail would be called."""

from arrived import assert_same_set
from sample import sample
from server import SENDER, USERS, ServedTest


class MsmtpTest(ServedTest):
    def deliver(self, protocol, address):
        contents = sample(40)
        host, port = address
        # It must not add fields, nor take Bcc away.
        as_it_is = ["--set-date-header=off", "--set-msgid-header=off", "--set-from-header=off", "--remove-bcc-headers=off"]
        envelope = [f"--from={SENDER}", "--", USERS[0]]
        for content in contents:
            command = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", f"--protocol={protocol}"]
            self.run_client(*command, *as_it_is, *envelope, stdin=content)
        assert_same_set(self, contents, self.server.wait_for(len(contents)), SENDER, USERS[0])

    def test_smtp(self):
        self.deliver("smtp", self.server.smtp)

    def test_lmtp(self):
        self.deliver("lmtp", self.server.lmtp)
