"""Many connections that send large messages at once: the server holds none of them in memory.

INTEROP_LARGE=1 tests/interop/run test_memory      200 connections with 50 MiB each, which stay in the spool; needs 12 GiB of disk
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from server import LOADTEST, RINGPOST, Ringpost, ServedTest

LARGE = bool(os.environ.get("INTEROP_LARGE"))

CONNECTIONS, MIB = (200, 50) if LARGE else (60, 4)

# Seconds for all of it, on a slow disk.
LONG = 900

# Resident MiB at most, at any moment; or, where all of the mail would fit into that, beyond what was resident before it came.
MOST = 256 if LARGE else 96


class MemoryTest(ServedTest):
    own = f"<delivery><hold>{str(LARGE).lower()}</hold></delivery>"

    def setUp(self):
        self.server = Ringpost(own=self.own, prepare=self.allow_more)
        self.addCleanup(self.server.remove)
        self.server.start()

    @staticmethod
    def allow_more(conf):
        file = conf / "smtpserver.xml"
        file.write_text(file.read_text().replace(">50M<", ">60M<"))

    def test_large_messages_at_once_are_not_held_in_memory(self):
        free = shutil.disk_usage(self.server.home).free
        needed = (1.2 if LARGE else 2.5) * CONNECTIONS * (MIB << 20)
        if free < needed:
            self.skipTest(f"{free >> 20} MiB of disk are free, and {int(needed) >> 20} are needed")
        ledger = self.server.home / "ledger"
        to = "{}:{}".format(*self.server.smtp)
        how = ["--sessions", str(CONNECTIONS), "--messages", str(CONNECTIONS), "--size", str(MIB << 20)]
        before = 0 if LARGE else self.most()
        command = [LOADTEST, "source", "--to", to, *how, "--ledger", ledger, "--stall-timeout", "300"]
        self.run_long(command)
        taken_in = self.most()
        if LARGE:
            self.run_long([RINGPOST, "--conf", self.server.home / "conf", "spool", "verify"])
            self.assertEqual(len(self.server.run("queue", "list", "--json").splitlines()), CONNECTIONS)
        else:
            self.run_long([LOADTEST, "verify", "--ledger", ledger, "--maildir", self.server.maildir(), "--wait", "600"])
        most = self.most()
        print(f"\n{CONNECTIONS} connections with {MIB} MiB each: {taken_in} MiB resident at most while they were taken in,")
        print(f"{most} MiB until all were {'read again' if LARGE else 'delivered'} ", end="", flush=True)
        self.assertLess(most - before, MOST)

    def run_long(self, command):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def most(self):
        """The most MiB that were resident so far."""
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) >> 10
