"""The part of the corpus that a client sends which starts a process for each message, or changes some messages by itself."""

from arrived import in_mailbox
from corpus import messages


def sample(count, fits=lambda content: True):
    """Messages spread over the corpus, as files of a client are: the lines end with LF. No NUL, no more than 3 MiB."""
    suitable = []
    for message in messages():
        content = in_mailbox(message.ended())
        if content and b"\0" not in content and len(content) < 3 << 20 and fits(content):
            suitable.append(content)
    step = max(1, len(suitable) // count)
    return suitable[::step][:count]
