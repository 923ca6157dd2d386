"""A name server of our own, which keeps silent when it is told to (RFC 1035 §4)."""

import contextlib
import ipaddress
import socket
import struct
import threading

MX, A = 15, 1

NO_SUCH_NAME = 3


def encoded(name):
    """A name as it stands in a message."""
    labels = [label.encode() for label in name.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class NameServer:
    """Answers over UDP what it knows by heart, other names with NXDOMAIN, and silent ones not at all; over TCP nobody answers.

    `records` has for each name its exchangers, `(preference, host)`, and its addresses as text.
    """

    def __init__(self, records):
        self.records = records
        self.silent = set()
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        # So it looks now and then whether it is to end.
        self.socket.settimeout(0.1)
        self.ended = threading.Event()
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        """Begins to answer."""
        self.thread.start()
        return self

    def remove(self):
        """Ends it."""
        self.ended.set()
        self.thread.join()
        self.socket.close()

    def configuration(self):
        """What asks it, as dnsservice.xml."""
        return f"""<dnsservice><servers><server>127.0.0.1:{self.port}</server></servers>
            <autodiscover>false</autodiscover></dnsservice>"""

    def times_asked(self, name):
        """How often a name was asked for."""
        return self.asked.count(name)

    def _serve(self):
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                self._hear(*self.socket.recvfrom(4096))

    def _hear(self, query, client):
        name, kind, question = self._question(query)
        self.asked.append(name)
        if name not in self.silent:
            self.socket.sendto(self._answer(query, name, kind, question), client)

    @staticmethod
    def _question(query):
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode().lower())
            at += 1 + length
        (kind,) = struct.unpack_from("!H", query, at + 1)
        return ".".join(labels), kind, query[12 : at + 5]

    def _answer(self, query, name, kind, question):
        known = self.records.get(name)
        records = [record for record in known or [] if isinstance(record, str) == (kind == A)] if kind in (A, MX) else []
        # A response, authoritative, recursion desired and available.
        flags = 0x8580 | (NO_SUCH_NAME if known is None else 0)
        head = query[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
        return head + question + b"".join(self._record(kind, record) for record in records)

    @staticmethod
    def _record(kind, record):
        if kind == A:
            data = ipaddress.IPv4Address(record).packed
        else:
            preference, host = record
            data = struct.pack("!H", preference) + encoded(host)
        # The name is that of the question, and what is said lasts for a minute.
        return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
