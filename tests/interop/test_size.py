"""The largest message that is taken: its size is that of RFC 1870, so doubled dots, the final dot and our Received count nothing."""

import subprocess

from server import LOADTEST, PATIENCE, ServedTest
from wire import Client

LIMIT = 50 << 20


class SizeTest(ServedTest):
    """Under <maxmessagesize>50M</maxmessagesize>."""

    def test_a_message_of_exactly_the_limit_arrives(self):
        for how in ([], ["--bdat"]):
            with self.subTest(how=how):
                self.source(LIMIT, how, 0)

    def test_an_octet_more_is_refused(self):
        for how in ([], ["--bdat"]):
            with self.subTest(how=how):
                said = self.source(LIMIT + 1, how, 1)
                self.assertIn("552 5.3.4", said)

    def test_the_size_is_announced_and_compared_before_the_message_is_sent(self):
        with Client(self.server.smtp) as client:
            self.assertIn(f"SIZE {LIMIT}", client.greeted.splitlines())
            client.command(f"MAIL FROM:<sender@example.org> SIZE={LIMIT + 1}", 552)
            client.command(f"MAIL FROM:<sender@example.org> SIZE={LIMIT}", 250)

    def source(self, size, how, status):
        """Sends one message of this size, which is full of lines that begin with dots; what was said of it."""
        ledger = self.server.home / f"ledger-{size}-{len(how)}"
        to = "{}:{}".format(*self.server.smtp)
        command = [LOADTEST, "source", "--to", to, "--sessions", "1", "--messages", "1", "--size", str(size), "--ledger", ledger, *how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, status, said)
        if status == 0:
            verify = [LOADTEST, "verify", "--ledger", ledger, "--maildir", self.server.maildir(), "--wait", str(PATIENCE)]
            done = subprocess.run(verify, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return said
