"""Users' own scripts: where mail goes that the script of its recipient files, redirects, refuses or answers."""

import email
import email.policy
import re

from peers import Sink, messages_in
from relay import RelayTest, gateway, remote
from server import wait_until

SCRIPT = """
require ["fileinto", "reject", "vacation"];
if header :contains "subject" "[list]" { fileinto "Lists"; stop; }
if header :is "subject" "elsewhere" { redirect "other@localhost"; stop; }
if header :is "subject" "far" { redirect "box@dest.test"; stop; }
if header :is "subject" "no" { reject "Not like this."; stop; }
if header :is "subject" "nothing" { discard; stop; }
if header :is "subject" "holiday" { vacation :days 3 :subject "Away" "I am away."; }
"""


class SieveTest(RelayTest):
    def scripted(self, onward):
        """A server with a user who has a script."""
        server = self.relay(onward)
        # The Maildir is there from the first mail on.
        self.send(server, b"Subject: first\r\n\r\n", ["you@localhost"], sender="other@localhost")
        server.wait_for(1)
        (server.maildir() / "active.sieve").write_text(SCRIPT)
        return server

    def said(self, server, *subjects, more=""):
        for subject in subjects:
            content = f"From: other@localhost\r\nTo: you@localhost\r\nSubject: {subject}\r\n{more}\r\n"
            self.send(server, content.encode(), ["you@localhost"], sender="other@localhost")

    def test_a_script_is_obeyed(self):
        server = self.scripted(remote())
        self.said(server, "[list] a", "elsewhere", "no", "nothing", "kept")
        others = [parsed(file.read_bytes()) for file in server.wait_for(2, "other@localhost")]
        self.wait_until_empty(server)
        subjects = sorted(str(parsed(content)["subject"]) for content in messages_in(server.maildir()))
        self.assertEqual(subjects, ["[list] a", "first", "kept"])
        filed = [path for path in server.maildir().glob("**/new/*") if path.parent.parent != server.maildir()]
        self.assertEqual([path.parent.parent.name for path in filed], [".Lists"])
        self.assertEqual(len([mail for mail in others if mail["subject"] == "elsewhere"]), 1)
        refusals = [mail for mail in others if mail.get_content_type() == "multipart/report"]
        self.assertEqual(len(refusals), 1, [mail["subject"] for mail in others])
        self.assertIn("Not like this.", refusals[0].as_string())

    def test_mail_is_redirected_to_another_host(self):
        sink = self.peer(Sink())
        server = self.scripted(gateway(sink))
        self.said(server, "far")
        wait_until(lambda: len(sink.taken()) == 2, "the redirected mail at the next hop")
        self.assertIn("box@dest.test", sink.taken()[1])
        self.wait_until_empty(server)

    def test_a_sender_hears_once_that_somebody_is_away(self):
        server = self.scripted(remote())
        self.said(server, "holiday", "holiday")
        self.said(server, "holiday", more="List-Id: <list.example.org>\r\n")
        server.wait_for(4)
        self.wait_until_empty(server)
        # Not after a start either.
        server.kill()
        server.start()
        self.said(server, "holiday")
        server.wait_for(5)
        self.wait_until_empty(server)
        (answer,) = [parsed(file.read_bytes()) for file in server.wait_for(1, "other@localhost")]
        self.assertEqual((answer["subject"], answer["return-path"]), ("Away", "<>"))
        self.assertTrue(re.match("auto-replied", answer["auto-submitted"]), answer["auto-submitted"])
        self.assertEqual(answer.get_content().strip(), "I am away.")


def parsed(content):
    """A mail, parsed."""
    return email.message_from_bytes(content, policy=email.policy.default)
