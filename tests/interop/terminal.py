"""mutt on a terminal of its own."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

from server import PATIENCE


def mutt(maildir, home, keys, until):
    """Opens a Maildir, presses the keys, and returns the screen once it shows `until`."""
    settings = f'set folder="{home}" status_format="Msgs:%m New:%n " index_format="%s"'
    command = ["mutt", "-n", "-F", "/dev/null", "-R", "-e", settings]
    command += ["-e", f'push "{keys}"'] if keys else []
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        os.environ.update(TERM="xterm", LC_ALL="C.UTF-8", HOME=str(home), LINES="50", COLUMNS="200")
        os.execvp("mutt", [*command, "-f", str(maildir)])
    screen = b""
    deadline = time.monotonic() + PATIENCE
    try:
        while until.encode() not in screen and time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                screen += os.read(terminal, 65536)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
    text = screen.decode(errors="replace")
    if until not in text:
        raise AssertionError(f"mutt does not show {until!r}: {text[-2000:]!r}")
    return text
