"""curl, over SMTP. It has no LMTP."""

from arrived import assert_same_set
from sample import sample
from server import SENDER, USERS, ServedTest


class CurlTest(ServedTest):
    def curl(self, *recipients, stdin, fails=False):
        url = "smtp://{}:{}/client.example.org".format(*self.server.smtp)
        to = [argument for recipient in recipients for argument in ("--mail-rcpt", recipient)]
        command = ["curl", "--silent", "--show-error", "--crlf", url, "--mail-from", SENDER, *to, "--upload-file", "-"]
        return self.run_client(*command, stdin=stdin, fails=fails)

    def test_messages(self):
        contents = sample(60)
        for content in contents:
            self.curl(USERS[0], stdin=content)
        assert_same_set(self, contents, self.server.wait_for(len(contents)), SENDER, USERS[0])

    def test_two_recipients(self):
        self.curl(*USERS, stdin=b"Subject: both\n\ntext\n")
        for user in USERS:
            assert_same_set(self, [b"Subject: both\n\ntext\n"], self.server.wait_for(1, user), SENDER, user)

    def test_an_unknown_recipient_is_refused(self):
        printed = self.curl("nobody@localhost", stdin=b"Subject: nobody\n\ntext\n", fails=True)
        self.assertIn("550", printed)
