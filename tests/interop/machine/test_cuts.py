"""The power fails under load at a random moment: what was acknowledged is there after the next start, and nothing in part.

The spool and the mailboxes are on our own layer (faultfs), which drops what was not synced, tears it in sectors, and loses names of
directories that were not synced.
"""

import signal
import time

from machine import ROUNDS, SEED, WAYS, Machine, acknowledged, empty, logged, mailbox
from server import PATIENCE

# Milliseconds that a sync takes, least and most, one after the other: what is under way at the cut differs.
DELAYS = [(0, 0), (0, 5), (0, 30), (10, 60)]


class CutTest(Machine):
    def test_nothing_acknowledged_is_lost(self):
        self.rounds(direct=True)

    def test_nothing_acknowledged_is_lost_without_direct_access(self):
        self.rounds(direct=False)

    def test_a_disk_that_lies_about_syncs_is_found_out(self):
        server = self.begin(direct=True)
        self.layer.tell("lie")
        ledger = self.ledger()
        self.cut(server, ledger, [], 1.5, 1)
        server.start()
        printed = self.verify(self.mail, ledger, fails=True)
        self.assertRegex(printed, r"messages missing [1-9]")

    def begin(self, direct):
        self.layer = self.fault_fs()
        if not direct:
            self.layer.tell("no-direct")
        spool, mail = self.home / "disk/spool", self.home / "disk/mail"
        self.mail = mailbox(mail)
        server = self.serve(spool, mail)
        server.start()
        self.assertIn("fuse, " + ("direct writes" if direct else "writes through the page cache"), server.announcement)
        server.wait_until_prepared()
        return server

    def rounds(self, direct):
        server = self.begin(direct)
        figures, made = [0] * 6, 0
        self.addCleanup(lambda: self.report(made, figures))
        for number in range(ROUNDS):
            how, delay = WAYS[number % len(WAYS)], self.random.choice(DELAYS)
            self.layer.tell("delay", *delay)
            ledger = self.ledger()
            loss = self.cut(server, ledger, how, self.random.uniform(0.2, 2.0), SEED + number)
            self.layer.tell("delay", 0, 0)
            server.start()
            with self.subTest(round=number, how=how, delay=delay, seed=SEED + number):
                self.verify(self.mail, ledger)
                self.assertEqual(logged(server, "damage-set-aside"), [])
                self.assertEqual(logged(server, "spool-closed"), [])
            empty(self.mail)
            figures, made = [sum(pair) for pair in zip(figures, [acknowledged(ledger), *loss])], made + 1
        self.assertGreater(figures[0], 20 * ROUNDS)
        self.assertGreater(figures[2] + figures[5], 0)

    def report(self, made, figures):
        messages, writes, lost, torn, names, names_lost = figures
        print(
            f"\n{made} cuts (seed {SEED}): {messages} messages acknowledged and found;"
            f" of {writes} writes not synced {lost} were lost, {torn} of them in part;"
            f" of {names} changes of names {names_lost} ",
            end="",
            flush=True,
        )

    def cut(self, server, ledger, how, seconds, seed):
        """Load, and the cut in its midst; what was lost by it."""
        source = self.source(server, ledger, how)
        time.sleep(seconds)
        # From here on nothing is answered, so nothing can be acknowledged that was not synced before.
        self.layer.tell("freeze")
        server.process.send_signal(signal.SIGKILL)
        loss = self.layer.tell("cut", seed)
        server.kill()
        self.assertEqual(source.wait(PATIENCE), 0)
        self.layer.tell("restore")
        return [int(number) for number in loss.split()]
