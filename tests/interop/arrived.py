"""What arrived in a mailbox, without the trace fields that were added in front."""

import re

# The three trace fields; the last has exactly three lines, or four over TLS, however the message itself may go on.
TRACE = re.compile(
    rb"Return-Path: <(?P<sender>[^\r\n]*)>(?P<end>\r?\n)"
    rb"Delivered-To: (?P<recipient>[^\r\n]+)(?P=end)"
    rb"Received: from [^\r\n]+(?P=end)(?:\t\(using [^\r\n]+(?P=end))?\tby [^\r\n]+(?P=end)\t[^\r\n]+(?P=end)"
)


def in_mailbox(content):
    """Content as it came over the wire, in the form of a mailbox."""
    return content.replace(b"\r\n", b"\n")


def content_of(file, sender, recipient, end=b"\n"):
    """The content of a file, after its trace fields were checked."""
    octets = file.read_bytes()
    trace = TRACE.match(octets)
    if not trace:
        raise AssertionError(f"{file} does not begin with its trace fields but with {octets[:300]!r}")
    found = (trace["sender"], trace["recipient"], trace["end"])
    expected = (sender.encode(), recipient.encode(), end)
    if found != expected:
        raise AssertionError(f"{file} has the trace fields of {found}, not of {expected}")
    return octets[trace.end() :]


def id_of(file):
    """The id of the message in a file, which is in the file's name."""
    return re.fullmatch(r"\d+\.([0-9A-Z]+)R\d+\..+", file.name)[1]


def difference(name, expected, found):
    """Where two contents part, for people; empty if they do not."""
    if expected == found:
        return ""
    place = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
    start = max(0, place - 40)
    return (
        f"{name}: sent {len(expected)} octets, {len(found)} arrived, they part at {place}:"
        f" {expected[start : place + 40]!r} became {found[start : place + 40]!r}"
    )


def assert_same_set(test, expected, files, sender, recipient):
    """The files hold exactly the expected contents, in whatever order."""
    found = sorted(content_of(file, sender, recipient) for file in files)
    expected = sorted(expected)
    test.assertEqual(len(expected), len(found))
    for number, (sent, arrived) in enumerate(zip(expected, found)):
        test.assertFalse(difference(f"message {number}", sent, arrived))
