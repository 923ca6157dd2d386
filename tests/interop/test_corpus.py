"""Every message of the corpus, by DATA and by BDAT, over SMTP and LMTP: what arrives is what was sent."""

import random

from arrived import content_of, difference, id_of, in_mailbox
from corpus import SEED, messages
from server import SENDER, USERS, ServedTest
from wire import Client

# Messages to a session, so that both sessions with many and new ones are tried.
SESSION = 50


class CorpusTest(ServedTest):
    """One way of sending a test."""

    def deliver(self, address, hello, send):
        """Sends every message with `send`, which returns the content that is to arrive and the reply to it."""
        sent = {}
        for start in range(0, len(messages()), SESSION):
            with Client(address, hello) as client:
                for message in messages()[start : start + SESSION]:
                    client.envelope(" BODY=8BITMIME" if start else "")
                    content, reply = send(client, message)
                    sent[reply.message_id()] = (message.name, content)
        self.assertGreaterEqual(len(sent), 500)
        files = self.server.wait_for(len(sent))
        differences = []
        for file in files:
            name, content = sent.pop(id_of(file))
            differences.append(difference(name, in_mailbox(content), content_of(file, SENDER, USERS[0])))
        self.assertEqual([line for line in differences if line], [])
        self.assertEqual(sent, {})

    def test_data(self):
        self.deliver(self.server.smtp, "EHLO", by_data)

    def test_data_over_lmtp(self):
        self.deliver(self.server.lmtp, "LHLO", by_data)

    def test_bdat_in_one_chunk(self):
        self.deliver(self.server.smtp, "EHLO", lambda client, message: by_bdat(client, [message.content]))

    def test_bdat_in_many_chunks(self):
        chance = random.Random(SEED)
        self.deliver(self.server.smtp, "EHLO", lambda client, message: by_bdat(client, cut(message.content, chance)))

    def test_bdat_in_many_chunks_over_lmtp(self):
        chance = random.Random(SEED + 1)
        self.deliver(self.server.lmtp, "LHLO", lambda client, message: by_bdat(client, cut(message.content, chance)))

    def test_two_recipients_get_the_same(self):
        sample = messages()[::10]
        with Client(self.server.smtp) as client:
            for message in sample:
                client.envelope()
                client.command(f"RCPT TO:<{USERS[1]}>", 250)
                client.data(message.ended()).message_id()
        for user in USERS:
            files = self.server.wait_for(len(sample), user)
            arrived = sorted(content_of(file, SENDER, user) for file in files)
            self.assertEqual(arrived, sorted(in_mailbox(message.ended()) for message in sample))


def by_data(client, message):
    """Sends a message by DATA."""
    content = message.ended()
    return content, client.data(content)


def by_bdat(client, chunks):
    """Sends chunks by BDAT."""
    replies = client.bdat(*chunks)
    refused = [reply for reply in replies if reply.code != 250]
    if refused:
        raise AssertionError(f"a chunk was refused: {refused}")
    return b"".join(chunks), replies[-1]


def cut(content, chance):
    """Content in chunks, some empty, some cut between a CR and its LF."""
    places = [chance.randrange(len(content) + 1) for _ in range(chance.randint(1, 9))]
    feed = content.find(b"\n", chance.randrange(len(content) + 1))
    if feed > 0:
        places.append(feed)
    places = [0, *sorted(places), len(content)]
    return [content[start:end] for start, end in zip(places, places[1:])]
