"""A small client that sends exactly the octets that a test gives it, by DATA (RFC 5321) and BDAT (RFC 3030)."""

import re
import socket
from dataclasses import dataclass

from server import PATIENCE, SENDER, USERS


@dataclass
class Reply:
    """A reply: its code and its text, the lines joined by LF."""

    code: int
    text: str

    def message_id(self):
        """The id of the message that the reply acknowledges."""
        match = re.search(r"\bid=([0-9A-Z]+)$", self.text)
        if self.code != 250 or not match:
            raise AssertionError(f"not acknowledged: {self}")
        return match[1]


class Client:
    """A session. Use it in a with statement: it ends with QUIT."""

    def __init__(self, address, hello="EHLO", source=None):
        self.socket = socket.create_connection(address, timeout=PATIENCE, source_address=source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb")
        self._expect(220, self.reply())
        self.greeted = self.command(f"{hello} client.example.org", 250).text

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.command("QUIT", 221)
        self.input.close()
        self.socket.close()

    def send(self, octets):
        """Sends octets."""
        self.socket.sendall(octets)

    def reply(self):
        """Reads the next reply."""
        texts = []
        while True:
            line = self.input.readline(4096)
            match = re.fullmatch(rb"(\d{3})([ -])([^\r\n]*)\r\n", line)
            if not match:
                raise AssertionError(f"not a line of a reply: {line!r}")
            texts.append(match[3].decode())
            if match[2] == b" ":
                return Reply(int(match[1]), "\n".join(texts))

    def command(self, line, code=None):
        """Sends a command and reads its reply, which must have the code, if one is given."""
        self.send(line.encode() + b"\r\n")
        reply = self.reply()
        if code is not None:
            self._expect(code, reply, line)
        return reply

    def envelope(self, parameters="", sender=SENDER, recipient=USERS[0]):
        """Begins a transaction."""
        self.command(f"MAIL FROM:<{sender}>{parameters}", 250)
        self.command(f"RCPT TO:<{recipient}>", 250)

    def data(self, content):
        """Sends content, which ends with CR LF or is empty, by DATA; returns the last reply."""
        self.command("DATA", 354)
        stuffed = re.sub(rb"(?m)^\.", b"..", content)
        self.send(stuffed + b".\r\n")
        return self.reply()

    def bdat(self, *chunks):
        """Sends content in chunks, all written before a reply is read; returns the replies."""
        last = len(chunks) - 1
        for number, chunk in enumerate(chunks):
            self.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if number == last else b"") + chunk)
        return [self.reply() for _ in chunks]

    @staticmethod
    def _expect(code, reply, what="the connection"):
        if reply.code != code:
            raise AssertionError(f"{what} was answered with {reply}, not with {code}")
