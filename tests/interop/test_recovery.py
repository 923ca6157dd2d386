"""How long a start takes over a spool with much mail in it, after SIGKILL: until mail is taken again, and until all was read.

INTEROP_MIB=2048 INTEROP_ROUNDS=3 tests/interop/run test_recovery      so much mail of each size; as root without the page cache too
"""

import os
import re
import subprocess
import threading
import time
import unittest
from datetime import datetime
from pathlib import Path

from peers import free_port
from server import LOADTEST, PATIENCE, Ringpost, wait_until
from wire import Client

MIB = int(os.environ.get("INTEROP_MIB", "32"))
ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "1"))

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


class RecoveryTest(unittest.TestCase):
    def test_messages_of_4_kib(self):
        self.recover(4 << 10)

    def test_messages_of_100_kib(self):
        self.recover(100 << 10)

    def recover(self, size):
        """Fills a spool, and starts on it again and again."""
        self.port = free_port()
        self.server = Ringpost(own="<delivery><hold>true</hold></delivery>", prepare=self.configure)
        self.addCleanup(self.server.remove)
        self.server.start()
        count = (MIB << 20) // size
        to = "{}:{}".format(*self.server.smtp)
        command = [LOADTEST, "source", "--to", to, "--sessions", "50", "--pipelining", "--quiet", "--messages", count, "--size", size]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        print()
        for number in range(ROUNDS):
            for cold in (False, True):
                if cold and not self.drop_caches():
                    continue
                # What the rounds before have added is one message each.
                count += self.start_again(size, cold, count)

    def configure(self, conf):
        """A port that is known before the announcement, and enough room."""
        servers = conf / "smtpserver.xml"
        servers.write_text(servers.read_text().replace("127.0.0.1:0", f"127.0.0.1:{self.port}"))
        own = conf / "ringpost.xml"
        own.write_text(own.read_text().replace("<segmentSize>32M</segmentSize>", "<segmentSize>64M</segmentSize>"))

    def drop_caches(self):
        """Forgets what files the kernel has in memory; whether that is allowed."""
        if not os.access(DROP_CACHES, os.W_OK):
            return False
        os.sync()
        DROP_CACHES.write_text("3\n")
        return True

    def start_again(self, size, cold, count):
        """Kills it and starts it; prints how long that took. Sends one message, as soon as one is taken."""
        self.server.kill()
        if cold:
            self.drop_caches()
        log = self.server.home / "log"
        before = log.stat().st_size
        begun, clock = time.monotonic(), time.time()
        starting = threading.Thread(target=self.server.start)
        starting.start()
        taken = self.send_until_taken() - begun
        starting.join()

        def recovered():
            return re.findall(r"^(\S+) info  recovered .* messages=(\d+) ", log.read_text()[before:], re.M)

        wait_until(lambda: len(recovered()) == self.server.shards, "the end of recovery")
        ended = max(datetime.fromisoformat(when).timestamp() for when, _ in recovered()) - clock
        self.assertEqual(sum(int(messages) for _, messages in recovered()), count)
        gib = count * size / (1 << 30)
        print(
            f"  {count} messages of {size >> 10} KiB, page cache {'cold' if cold else 'warm'}: first 250 after {taken:.2f} s,"
            f" all read after {ended:.2f} s: {ended / gib:.2f} s a GiB; {self.server.memory() >> 10} MiB resident"
        )
        return 1

    def send_until_taken(self):
        """Tries to send a message until one is taken; when it was."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                with Client(("127.0.0.1", self.port)) as client:
                    client.envelope()
                    client.data(b"Subject: first\r\n\r\n").message_id()
                    return time.monotonic()
            except (ConnectionError, AssertionError):
                time.sleep(0.005)
        raise AssertionError("no mail was taken")
