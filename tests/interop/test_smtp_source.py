"""Postfix's smtp-source: many sessions at a time, over SMTP and LMTP."""

from arrived import assert_same_set, content_of
from sample import sample
from server import SENDER, USERS, ServedTest


class SmtpSourceTest(ServedTest):
    def source(self, address, *options):
        self.run_client("smtp-source", *options, "-M", "client.example.org", "-f", SENDER, "-t", USERS[0], "{}:{}".format(*address))

    def test_messages_of_files(self):
        # smtp-source reads lines of at most 2048 octets.
        contents = sample(20, lambda content: max(map(len, content.split(b"\n"))) < 2000)
        file = self.server.home / "message"
        for content in contents:
            file.write_bytes(content)
            self.source(self.server.smtp, "-F", file)
        # It writes one more line end before the final dot.
        expected = [content + b"\n" for content in contents]
        assert_same_set(self, expected, self.server.wait_for(len(contents)), SENDER, USERS[0])

    def test_many_sessions(self):
        self.source(self.server.smtp, "-s", "50", "-m", "2000", "-l", "8192")
        self.assert_whole(2000)

    def test_many_messages_a_session_over_lmtp(self):
        self.source(self.server.lmtp, "-L", "-d", "-s", "10", "-m", "500", "-l", "2000")
        self.assert_whole(500)

    def assert_whole(self, count):
        """Its own messages: a header that differs in its Message-Id, and the same text."""
        ids, texts = set(), set()
        for file in self.server.wait_for(count):
            header, text = content_of(file, SENDER, USERS[0]).split(b"\n\n", 1)
            ids.add(header.split(b"Message-Id: ", 1)[1])
            texts.add(text)
        self.assertEqual((len(ids), len(texts)), (count, 1))
