"""What reads a Maildir: mutt and Python's mailbox."""

import mailbox

from corpus import Message, collected
from server import SENDER, ServedTest
from terminal import mutt
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
        return mutt(self.server.maildir(), self.server.home, keys, until)
