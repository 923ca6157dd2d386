"""Between the last octet of a message and its 250, a write and the sync linked to it complete: seen by the kernel, not by us.

The kernel notes what the server receives and sends, and what its rings are given and complete, with one clock. A batch of the
spool is a write and, linked to it, a sync; the sync's number is the write's with the highest bit set.
"""

import os
import threading
import unittest

import kernel_trace
from server import PATIENCE, ServedTest
from wire import Client

SESSIONS, MESSAGES = 8, 25
LARGE = 700_000
LINKED = 1 << 63
SENDS = ("sys_sendto", "sys_sendmsg")


class Batch:
    """A write that was given to a ring, and when the sync linked to it had been done."""

    def __init__(self, written):
        self.written = written
        self.synced = None


def batches(events):
    """The batches whose write and sync are both seen."""
    found, open_batches = [], {}
    for event in events:
        ring = event.fields.get("ring")
        if event.name == "io_uring_submit_req" and event.fields["opcode"] in ("WRITE", "WRITEV"):
            open_batches[ring, int(event.fields["user_data"], 16)] = Batch(event.place)
        elif event.name == "io_uring_complete":
            number = int(event.fields["user_data"], 16)
            batch = open_batches.pop((ring, number ^ LINKED), None) if number & LINKED else None
            if batch and event.fields["result"] == "0":
                batch.synced = event.place
                found.append(batch)
    return found


def replies(events):
    """For each socket, in order: when each reply was sent, and when the last octets before it had been received."""
    received, receiving, sent = {}, {}, {}
    for event in events:
        if event.name == "sys_recvfrom" and "fd" in event.fields:
            receiving[event.task] = int(event.fields["fd"], 16)
        elif event.name == "sys_recvfrom":
            octets = int(event.fields["ret"], 16)
            if 0 < octets < LINKED:
                received[receiving[event.task]] = event.place
        elif event.name in SENDS:
            socket = int(event.fields["fd"], 16)
            sent.setdefault(socket, []).append((received.get(socket, 0), event.place))
    return sent


def unsynced(acknowledged, synced):
    """Of acknowledgements (last octet received, reply sent), those with no batch written and synced in between."""
    return [
        (last, reply)
        for last, reply in acknowledged
        if not any(last < batch.written < batch.synced < reply for batch in synced)
    ]


@unittest.skipIf(kernel_trace.why_not(), kernel_trace.why_not() or "")
class SyncTest(ServedTest):
    # Nothing is delivered: all batches that are seen are those of mail that comes in.
    own = "<delivery><hold>true</hold></delivery>"

    def test_data(self):
        self.check(replies_a_message=4, send=self.data)

    def test_bdat(self):
        self.check(replies_a_message=3, send=lambda client, content: client.bdat(content)[-1])

    def test_lmtp(self):
        # As nothing is delivered, the 250 means the spool here too.
        self.check(replies_a_message=4, send=self.data, lmtp=True)

    def data(self, client, content):
        return client.data(content)

    def check(self, replies_a_message, send, lmtp=False):
        self.dial = lambda: Client(self.server.lmtp, "LHLO") if lmtp else Client(self.server.smtp)
        self.server.wait_until_prepared()
        tasks = os.listdir(f"/proc/{self.server.process.pid}/task")
        with kernel_trace.Trace(tasks) as trace:
            self.load(send)
            events = trace.events()
        acknowledged = []
        for sent in replies(events).values():
            # The greeting and the answer to EHLO, then those of messages, of which the last is the one that promises.
            body = sent[2:-1]
            self.assertEqual(len(body), replies_a_message * MESSAGES, "each reply is sent by itself")
            acknowledged += body[replies_a_message - 1 :: replies_a_message]
        self.assertEqual(len(acknowledged), SESSIONS * MESSAGES)
        synced = batches(events)
        print(f"{len(acknowledged)} messages acknowledged, {len(synced)} batches written and synced ", end="", flush=True)
        self.assertEqual(unsynced(acknowledged, synced), [])

        # Without those syncs, or with their completion a moment later, each of them would have been noticed.
        self.assertEqual(len(unsynced(acknowledged, [])), len(acknowledged))
        late = batches(events)
        for batch in late:
            batch.synced = min((reply for _, reply in acknowledged if reply > batch.synced), default=batch.synced) + 0.5
        self.assertNotEqual(unsynced(acknowledged, late), [])

    def load(self, send):
        failures, done = [], threading.Barrier(SESSIONS, timeout=PATIENCE)
        arguments = [(number, send, done, failures) for number in range(SESSIONS)]
        threads = [threading.Thread(target=self.session, args=each) for each in arguments]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def session(self, number, send, done, failures):
        try:
            with self.dial() as client:
                for message in range(MESSAGES):
                    size = LARGE if message == MESSAGES - 1 and number % 2 else 2000
                    client.envelope()
                    content = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * (size // 72)
                    send(client, content).message_id()
                # None ends before all are done, so that no two have the same socket.
                done.wait()
        except Exception as failure:
            failures.append(failure)
