"""Two cores, then one, then two again, with mail that waits and mail that is being delivered: nothing is lost, and nothing comes twice."""

import os
import re
import subprocess
import time
import unittest

from server import LOADTEST, PATIENCE, USERS, ServedTest, wait_until

CPUS = sorted(os.sched_getaffinity(0))

# Mail for this one waits until the end.
WAITS = USERS[1]


@unittest.skipIf(len(CPUS) < 2, "this needs two CPUs")
class CoresTest(ServedTest):
    own = "<delivery><retry>1h</retry></delivery>"

    def test_nothing_is_lost_and_nothing_comes_twice(self):
        self.ledgers = []
        for ends in (self.server.stop, self.server.kill):
            with self.subTest(ends.__name__):
                self.change_cores(ends)
        print(f"{len(self.ledgers)} ledgers ", end="", flush=True)

    def change_cores(self, ends):
        self.begin(2)
        # A file where a directory should be: what is for this one is put off.
        maildir = self.server.maildir(WAITS)
        kept = maildir.with_name("kept")
        if maildir.exists():
            maildir.rename(kept)
        maildir.parent.mkdir(parents=True, exist_ok=True)
        maildir.write_text("in the way")
        self.load(ends)
        self.begin(1)
        waiting = self.waiting()
        self.load(ends)
        self.begin(2)
        self.assertGreater(self.waiting(), waiting)

        maildir.unlink()
        if kept.exists():
            kept.rename(maildir)
        self.server.run("queue", "flush", "ALL")
        wait_until(lambda: self.waiting() == 0, "an empty queue")
        for user in USERS:
            self.verify(user)
        # What is in the mailboxes is known from then on, over another restart too: nothing is delivered again.
        before = [len(self.server.files(user)) for user in USERS]
        self.begin(1)
        self.assertEqual(self.waiting(), 0)
        self.assertEqual([len(self.server.files(user)) for user in USERS], before)

    def begin(self, cores):
        """Starts it anew on so many CPUs, which a child has from its parent."""
        if self.server.process:
            self.server.stop()
        os.sched_setaffinity(0, CPUS[:cores])
        try:
            self.server.start()
        finally:
            os.sched_setaffinity(0, CPUS)
        self.assertEqual(self.server.shards, cores)

    def load(self, ends):
        """Load, in the midst of which the server ends."""
        ledger = self.server.home / f"ledger-{len(self.ledgers)}"
        command = [LOADTEST, "source", "--to", "{}:{}".format(*self.server.smtp), "--sessions", "20", "--duration", "30"]
        recipients = [word for user in USERS for word in ("--recipient", user)]
        source = subprocess.Popen(
            [*command, *recipients, "--until-lost", "--quiet", "--ledger", ledger], stdin=subprocess.DEVNULL
        )
        self.addCleanup(source.kill)
        before = self.logged(" accepted ")
        wait_until(lambda: self.logged(" accepted ") >= before + 50, "messages that are accepted")
        time.sleep(0.5)
        ends()
        # Who was told that the server stops, with a 421, counts that as an error.
        self.assertIn(source.wait(PATIENCE), (0, 1) if ends == self.server.stop else (0,))
        self.assertGreater(len(ledger.read_text().splitlines()), 10)
        self.ledgers.append(ledger)

    def logged(self, what):
        return (self.server.home / "log").read_text().count(what)

    def waiting(self):
        return len(self.server.run("queue", "list", "--json").splitlines())

    def verify(self, user):
        """What was acknowledged is in the mailbox, once and whole."""
        ledgers = [word for ledger in self.ledgers for word in ("--ledger", ledger)]
        printed = self.run_client(LOADTEST, "verify", *ledgers, "--maildir", self.server.maildir(user), "--wait", "30")
        self.assertIn(" duplicates 0\n", printed)
        names = [re.sub(r"\.[^.]*$", "", file.name) for file in self.server.files(user)]
        self.assertEqual(len(names), len(set(names)))
