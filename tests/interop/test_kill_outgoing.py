"""SIGKILL while mail goes out: all that was acknowledged arrives, and twice only what was not answered at that moment."""

import os
import subprocess
import time
from collections import Counter

from peers import Sink
from relay import RelayTest, gateway
from server import LOADTEST, PATIENCE, wait_until

# More of them: INTEROP_ROUNDS=20 tests/interop/run test_kill_outgoing
ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "4"))

# Sessions that the next hop allows: as many messages may be without an answer when the process is killed.
SESSIONS = 8


class KillOutgoingTest(RelayTest):
    def test_nothing_is_lost_and_little_is_sent_twice(self):
        sink = self.peer(Sink("--sessions", str(SESSIONS), "--delay", "dot:0.02"))
        server = self.relay(gateway(sink, delays="200 ms, 300*500 ms"))
        ledgers = []
        for number in range(ROUNDS):
            ledger = server.home / f"ledger-{number}"
            command = [LOADTEST, "source", "--to", "{}:{}".format(*server.smtp), "--sessions", "5", "--duration", "30"]
            command += ["--until-lost", "--quiet", "--recipient", "box@dest.test", "--from", "you@localhost", "--rate", "150"]
            source = subprocess.Popen([str(word) for word in [*command, "--ledger", ledger]], stdin=subprocess.DEVNULL)
            self.addCleanup(source.kill)
            time.sleep(1 + 0.17 * (number % 7))
            server.kill()
            self.assertEqual(source.wait(PATIENCE), 0)
            self.assertGreater(len(ledger.read_text().splitlines()), 10, f"round {number} had no load")
            ledgers.append(ledger)
            server.start()
        wait_until(lambda: server.run("queue", "list") == "No mail waits.\n", "an empty spool")

        acknowledged = {line for ledger in ledgers for line in self.marks(ledger)}
        taken = Counter(tuple(line.split()[:2]) for line in sink.taken() if not line.startswith("#"))
        self.assertEqual([line for line in sink.taken() if line.startswith(("damaged", "foreign"))], [])
        missing = acknowledged - set(taken)
        self.assertEqual(missing, set(), f"{len(missing)} of {len(acknowledged)} are lost")
        twice = sum(count - 1 for count in taken.values())
        self.assertLessEqual(twice, ROUNDS * SESSIONS, "more was sent twice than can have been without an answer")
        print(f"{ROUNDS} kills, {len(acknowledged)} messages acknowledged, {twice} sent twice ", end="", flush=True)

    def marks(self, ledger):
        """Run and number of each message in a source's ledger."""
        first, *lines = ledger.read_text().splitlines()
        run = first.split("run=")[1].split()[0].rjust(16, "0")
        return [(run, line.split()[0]) for line in lines]
