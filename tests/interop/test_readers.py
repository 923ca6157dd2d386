"""What reads a Maildir: mutt and Python's mailbox."""

import mailbox
import os
import pty
import select
import signal
import time

from corpus import Message, collected
from server import PATIENCE, SENDER, ServedTest
from wire import Client

SUBJECT = "Read by mutt 7142"
GREETING = Message("greeting", f"Subject: {SUBJECT}\r\nFrom: {SENDER}\r\n\r\nThe text of it, 9663.\r\n".encode())


class ReadersTest(ServedTest):
    def setUp(self):
        super().setUp()
        messages = collected() + [GREETING]
        with Client(self.server.smtp) as client:
            for message in messages:
                client.envelope()
                client.data(message.ended())
        self.count = len(messages)
        self.server.wait_for(self.count)

    def test_mutt(self):
        screen = self.mutt(f"<limit>~s '{SUBJECT}'<enter><first-entry><display-message>", "The text of it, 9663.")
        self.assertIn(SUBJECT, screen)

    def test_mutt_counts_them(self):
        self.mutt("", f"Msgs:{self.count} New:{self.count}")

    def test_mailbox(self):
        box = mailbox.Maildir(self.server.maildir(), create=False)
        self.assertEqual(len(box), self.count)
        subjects = [str(message["subject"]) for message in box]
        self.assertIn(SUBJECT, subjects)

    def mutt(self, keys, until):
        """Opens the Maildir on a terminal, presses the keys, and returns the screen once it shows `until`."""
        settings = f'set folder="{self.server.home}" status_format="Msgs:%m New:%n " index_format="%s"'
        command = ["mutt", "-n", "-F", "/dev/null", "-R", "-e", settings]
        command += ["-e", f'push "{keys}"'] if keys else []
        process, terminal = pty.fork()
        if process == 0:
            os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", HOME=str(self.server.home), LINES="50", COLUMNS="200")
            os.execvp("mutt", [*command, "-f", str(self.server.maildir())])
        screen = b""
        deadline = time.monotonic() + PATIENCE
        try:
            while until.encode() not in screen and time.monotonic() < deadline:
                if select.select([terminal], [], [], 1)[0]:
                    screen += os.read(terminal, 65536)
        finally:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(terminal)
        screen = screen.decode(errors="replace")
        self.assertIn(until, screen)
        return screen
