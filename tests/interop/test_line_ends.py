"""A CR or LF that stands alone: refused in text (RFC 5321 section 2.3.8), kept in a binary message (RFC 3030 section 3)."""

import random
import time

from arrived import content_of, difference, id_of
from corpus import SEED
from server import SENDER, USERS, ServedTest
from wire import Client

HEAD = b"Subject: line ends\r\n\r\n"

BARE = {
    "LF in the header": b"Subject: x\nTo: y\r\n\r\ntext\r\n",
    "CR in the header": b"Subject: x\rTo: y\r\n\r\ntext\r\n",
    "LF in the body": HEAD + b"one\ntwo\r\n",
    "CR in the body": HEAD + b"one\rtwo\r\n",
    "LF first": b"\n" + HEAD,
    "CR first": b"\rtext\r\n",
    "LF before CR LF": HEAD + b"one\n\r\n",
    "CR before CR LF": HEAD + b"one\r\r\n",
    "LF, dot, LF": HEAD + b"one\n.\nMAIL FROM:<smuggled@example.org>\r\n",
    "LF, dot, CR LF": HEAD + b"one\n.\r\ntwo\r\n",
    "CR, dot, CR": HEAD + b"one\r.\rtwo\r\n",
    "CR, dot, CR LF": HEAD + b"one\r.\r\ntwo\r\n",
    "CR LF, dot, LF": HEAD + b"one\r\n.\ntwo\r\n",
    "CR LF, dot, CR": HEAD + b"one\r\n.\rtwo\r\n",
    "LF after 100000 octets": HEAD + b"x" * 100_000 + b"\n" + b"y" * 100_000 + b"\r\n",
    "CR at the end of 16384 octets": HEAD + b"x" * (16383 - len(HEAD)) + b"\r" + b"y" * 5000 + b"\r\n",
}


class LineEndsTest(ServedTest):
    """What is refused leaves nothing behind, and the session goes on."""

    def assert_refused(self, reply):
        self.assertEqual((reply.code, reply.text[:6]), (550, "5.6.11"), reply)

    def assert_only_the_last_arrives(self, client):
        """One more message is sent; then it is the only one that there is."""
        client.envelope()
        accepted = client.data(HEAD + b"this one is right\r\n").message_id()
        files = self.server.wait_for(1)
        time.sleep(0.3)
        self.assertEqual([id_of(file) for file in self.server.files()], [accepted])
        self.assertEqual(content_of(files[0], SENDER, USERS[0]), b"Subject: line ends\n\nthis one is right\n")
        self.assertEqual(list((self.server.maildir() / "tmp").iterdir()), [])

    def test_data(self):
        with Client(self.server.smtp) as client:
            for name, content in BARE.items():
                with self.subTest(name):
                    client.envelope()
                    self.assert_refused(client.data(content))
            self.assert_only_the_last_arrives(client)

    def test_bdat(self):
        with Client(self.server.smtp) as client:
            for name, content in BARE.items():
                for places in ([0], [0, len(content) // 2], [0, 1, 2]):
                    with self.subTest(name, places=places):
                        client.envelope()
                        chunks = [content[start:end] for start, end in zip(places, places[1:] + [len(content)])]
                        replies = client.bdat(*chunks)
                        refused = next(reply for reply in replies if reply.code != 250)
                        self.assert_refused(refused)
                        self.assertNotEqual(replies[-1].code, 250)
                        client.command("RSET", 250)
            self.assert_only_the_last_arrives(client)

    def test_lmtp(self):
        with Client(self.server.lmtp, "LHLO") as client:
            for name, content in BARE.items():
                with self.subTest(name):
                    client.envelope()
                    self.assert_refused(client.data(content))
            self.assert_only_the_last_arrives(client)

    def test_binary_is_kept(self):
        chance = random.Random(SEED)
        contents = [chance.randbytes(size) for size in (0, 1, 2, 1000, 16384, 16385, 70_000, 3_000_000)]
        contents += list(BARE.values()) + [b"\r", b"\n", b"\n\r", b"..\r\n.\r\n", b"\r\n.\r\n"]
        sent = {}
        with Client(self.server.smtp) as client:
            for content in contents:
                client.envelope(" BODY=BINARYMIME")
                middle = chance.randrange(len(content) + 1)
                sent[client.bdat(content[:middle], content[middle:])[-1].message_id()] = content
        for file in self.server.wait_for(len(contents)):
            arrived = content_of(file, SENDER, USERS[0], end=b"\r\n")
            self.assertEqual(difference(file.name, sent[id_of(file)], arrived), "")
