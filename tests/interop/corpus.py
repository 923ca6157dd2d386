"""The messages that are sent: mail that people collected, mail made up by a seeded generator, and the odd cases.

Every message is its content as it goes over the wire, before dots are doubled: lines end with CR LF, and no CR or LF stands alone.
"""

import base64
import functools
import quopri
import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.header import Header
from email.utils import format_datetime

from server import TARGET

SEED = 5321
GENERATED = 480

WORDS = {
    "us-ascii": "the ring of posts carries every letter to its door and no rain nor night shall keep it From there".split(),
    "iso-8859-1": "où étaient les façades où Jürgen grüßte señor Muñoz près du château à Ærøskøbing for få år siden".split(),
    "utf-8": "письмо пришло вовремя 郵便 は 毎日 届く γράμμα 📬 naïve façade добрый день 手紙 ✉ Łódź".split(),
}
NAMES = ["Ada Example", "Jürgen Müller", "毎日 郵便", "O'Brien, Pat", "Señor Muñoz", "postmaster", "Build <bot>"]


@dataclass(frozen=True)
class Message:
    """A message: what it is called in reports, and its content."""

    name: str
    content: bytes

    def ended(self):
        """The content with a line end at its end, which DATA cannot do without."""
        return self.content if self.content.endswith(b"\r\n") or not self.content else self.content + b"\r\n"


def wire(text):
    """Octets with any line ends as lines that end with CR LF."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", text)


@functools.cache
def messages():
    """All of them."""
    return collected() + odd() + generated()


def collected():
    """The messages with which Python's email package is tested."""
    files = sorted((TARGET / "interop" / "corpus").glob("usr/lib/python3*/test/test_email/data/msg_*.txt"))
    if len(files) < 40:
        raise AssertionError(f"{len(files)} collected messages: run tests/interop/install")
    return [Message(file.name, wire(file.read_bytes())) for file in files]


def odd():
    """Messages that are rare, and where servers go wrong."""
    head = b"Subject: odd\r\n\r\n"
    octets = bytes(octet for octet in range(256) if octet not in b"\r\n")
    contents = {
        "empty": b"",
        "an empty line": b"\r\n",
        "header only": b"Subject: nothing else\r\n",
        "header and empty line": head,
        "no header": b"just a line\r\n",
        "no header, begins with a tab": b"\tjust a line\r\n",
        "first line is a dot": b".\r\nand more\r\n",
        "lines of dots": head + b"".join(b"." * dots + b"\r\n" for dots in range(1, 70)),
        "only dots": b".\r\n" * 300,
        "dots in front": head + b".. two\r\n.one\r\n...three\r\n. \r\n.\t\r\n",
        "ends like the end": head + b"text\r\n\r\n.\r\n",
        "no final line end": head + b"the last line just ends",
        "ends with a dot": head + b"\r\n.",
        "empty lines": head + b"\r\n" * 5000,
        "every octet": head + octets + b"\r\n" + octets[::-1] + b"\r\n",
        "nul": head + b"\0" * 5000 + b"\r\n",
        "commands": head + b"QUIT\r\nRSET\r\nDATA\r\nMAIL FROM:<a@b>\r\nBDAT 5 LAST\r\n",
        "mbox line in the header": b"From someone Sat Nov 21 22:00:00 2026\r\n" + head + b"From here on\r\n",
        "trace fields of others": b"Return-Path: <x@y>\r\nDelivered-To: z\r\nReceived: from a\r\n\tby b\r\n\tfor c\r\n" + head,
        "no space after the colon": b"Subject:odd\r\nX:\r\n\r\ntext\r\n",
        "folded 2000 times": b"Subject: odd\r\nX-Long: a" + b"\r\n\tb" * 2000 + b"\r\n\r\ntext\r\n",
        "3000 fields": b"".join(b"X-Field-%d: value\r\n" % n for n in range(3000)) + b"\r\ntext\r\n",
        "many short lines": head + b"a\r\n" * 200_000,
    }
    # Around the limits of RFC 5321, the sizes of buffers, and what no limit should break.
    for octets in (998, 999, 1000, 1001, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 65536, 1 << 20):
        contents[f"a line of {octets}"] = head + b"x" * octets + b"\r\nafter\r\n"
        contents[f"a line of {octets} that begins with a dot"] = head + b"." + b"x" * (octets - 1) + b"\r\n"
    contents["a header line of 100000"] = b"Subject: " + b"y" * 100_000 + b"\r\n\r\ntext\r\n"
    contents["10 MiB"] = head + base64.encodebytes(random.Random(SEED).randbytes(10 << 20)).replace(b"\n", b"\r\n")
    return [Message(name, content) for name, content in contents.items()]


def generated():
    """Mail as people and programs write it, the same at every run."""
    return [Generator(random.Random(SEED * 100_000 + number)).message(number) for number in range(GENERATED)]


class Generator:
    """Makes up one message."""

    def __init__(self, chance):
        self.chance = chance
        self.boundaries = 0

    def message(self, number):
        """A message with one of the shapes that mail has."""
        shapes = [self.plain, self.plain, self.quoted_printable, self.attachment, self.alternative, self.mixed, self.forwarded]
        shape = self.chance.choice(shapes)
        content = wire(b"\n".join([self.header(number), shape()]))
        if self.chance.random() < 0.1:
            content = content.rstrip(b"\r\n")
        return Message(f"generated {number} ({shape.__name__.replace('_', ' ')})", content)

    def header(self, number):
        """The fields of a message that have to do with its way."""
        date = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=self.chance.randrange(500_000))
        charset = self.chance.choice(list(WORDS))
        fields = [
            f"From: {self.address()}",
            "To: " + ",\n ".join(self.address() for _ in range(self.chance.randint(1, 12))),
            f"Subject: {Header(self.sentence(charset), charset, header_name='Subject').encode(linesep=chr(10))}",
            f"Date: {format_datetime(date)}",
            f"Message-ID: <{number}.{self.chance.getrandbits(64):x}@example.org>",
            "MIME-Version: 1.0",
        ]
        for hop in range(self.chance.randint(0, 4)):
            fields.insert(0, f"Received: from hop{hop}.example.org (hop{hop} [192.0.2.{hop}])\n\tby mx.example.org; {format_datetime(date)}")
        if self.chance.random() < 0.3:
            signature = base64.b64encode(self.chance.randbytes(256)).decode()
            folded = "\n\t ".join(signature[start : start + 64] for start in range(0, len(signature), 64))
            fields.insert(0, f"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x;\n\tb={folded}")
        return "\n".join(fields).encode()

    def address(self):
        """A name and an address."""
        name = self.chance.choice(NAMES)
        shown = f'"{name}"' if name.isascii() else Header(name, "utf-8").encode()
        return f"{shown} <user{self.chance.randrange(1000)}@example.org>"

    def sentence(self, charset):
        """A few words in one of the charsets."""
        return " ".join(self.chance.choices(WORDS[charset], k=self.chance.randint(2, 14)))

    def text(self, charset):
        """Paragraphs, some quoted, with lines of any usual length and lines that begin with dots or From."""
        lines = []
        for _ in range(int(self.chance.lognormvariate(3, 1.2)) + 1):
            sentence = self.sentence(charset)
            lines.append(self.chance.choice(["", "", "", "> ", "> > ", ".", "..", "From ", "    "]) + sentence)
            if self.chance.random() < 0.2:
                lines.append(self.chance.choice(["", ".", "..", "-- ", "\t", " "]))
            if self.chance.random() < 0.02:
                lines.append(" ".join([sentence] * self.chance.randint(50, 2000)))
        return "\n".join(lines).encode(charset) + b"\n"

    def part(self, kind, encoding, body, more=""):
        """A part, or the rest of the header and the body of a message."""
        return f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n{more}\n".encode() + body

    def plain(self):
        """Text as it is, 7-bit or 8-bit."""
        charset = self.chance.choice(list(WORDS))
        return self.part(f"text/plain; charset={charset}", "7bit" if charset == "us-ascii" else "8bit", self.text(charset))

    def quoted_printable(self):
        """Text in quoted-printable."""
        charset = self.chance.choice(list(WORDS))
        return self.part(f"text/plain; charset={charset}", "quoted-printable", quopri.encodestring(self.text(charset)))

    def attachment(self):
        """A file in base64."""
        body = base64.encodebytes(self.chance.randbytes(int(self.chance.lognormvariate(9, 1.5))))
        return self.part("application/octet-stream", "base64", body, 'Content-Disposition: attachment; filename="a b.bin"\n')

    def multipart(self, subtype, *parts):
        """Parts between boundaries."""
        self.boundaries += 1
        boundary = f"=_{self.chance.getrandbits(48):x}.{self.boundaries}"
        between = f"\n--{boundary}\n".encode()
        preamble = b"This is a message in MIME format.\n" if self.chance.random() < 0.5 else b""
        head = f'Content-Type: multipart/{subtype};\n boundary="{boundary}"\n\n'.encode()
        return head + preamble + b"".join(between + part for part in parts) + f"\n--{boundary}--\n".encode()

    def alternative(self):
        """The same as text and as HTML, whose lines programs make long."""
        charset = self.chance.choice(list(WORDS))
        html = b"<html><body>" + b"<p>".join(self.text(charset).split(b"\n")) + b"</body></html>\n"
        return self.multipart("alternative", self.plain(), self.part(f"text/html; charset={charset}", "8bit", html))

    def mixed(self):
        """Text with attachments, one inside of another."""
        attachments = [self.attachment() for _ in range(self.chance.randint(1, 3))]
        return self.multipart("mixed", self.alternative(), *attachments)

    def forwarded(self):
        """A message inside of a message."""
        inner = self.header(self.chance.randrange(1000)) + b"\n" + self.quoted_printable()
        return self.multipart("mixed", self.plain(), self.part("message/rfc822", "8bit", inner))
