"""More comes than can go: mail is taken and goes on all the same, nothing is lost, and memory is bounded.

INTEROP_SECONDS=60 tests/interop/run test_saturation      seconds of load for each way
"""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from peers import Sink
from relay import RelayTest, gateway
from server import LOADTEST, PATIENCE, wait_until

SECONDS = int(os.environ.get("INTEROP_SECONDS", "8"))

# Messages that fall due a second: far more than go, into a Maildir and to the next hop.
RATES = {gone: int(os.environ.get("INTEROP_RATE", rate)) for gone, rate in {"delivered": "4000", "sent": "1500"}.items()}

# Resident MiB at most, at any moment.
MOST = 256

# Parts of the time in each of which both must have gone on.
PARTS = 4


class SaturationTest(RelayTest):
    def test_into_a_maildir(self):
        own = "<delivery><concurrency>1</concurrency></delivery>"
        server = self.relay("", own=own)
        ledger = self.saturate(server, "you@localhost", "delivered")
        self.finish(server, "--ledger", ledger, "--maildir", server.maildir())

    def test_to_a_next_hop_that_is_slow(self):
        sink = self.peer(Sink("--sessions", "10", "--delay", "dot:0.1"))
        server = self.relay(gateway(sink, delays="500*2 seconds", retries=500))
        ledger = self.saturate(server, "box@dest.test", "sent")
        sink.stop()
        # The backlog is no part of the proof that a slow one need work off.
        quick = self.peer(Sink(port=sink.port))
        self.finish(server, "--ledger", ledger, "--sink", sink.ledger, "--sink", quick.ledger)

    def saturate(self, server, recipient, gone):
        """Loads it, looks at it all the while, and prints what was seen; the ledger."""
        ledger, figures = server.home / "ledger", server.home / "figures.json"
        command = [LOADTEST, "source", "--to", "{}:{}".format(*server.smtp), "--sessions", "100", "--quiet", "--rate", RATES[gone]]
        command += ["--from", "you@localhost", "--recipient", recipient, "--duration", SECONDS, "--ledger", ledger, "--json", figures]
        source = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL)
        self.addCleanup(source.wait)
        self.addCleanup(source.kill)
        seen, begun = [(0, 0, 0)], time.monotonic()
        while source.poll() is None:
            time.sleep(SECONDS / PARTS)
            seen.append((time.monotonic() - begun, *self.counts(server, gone)))
        self.assertEqual(source.returncode, 0)
        report = json.loads(figures.read_text())
        self.tell(gone, seen, report, server)
        self.assertEqual(report["errors"], {})
        for (_, taken, left), (_, more_taken, more_left) in zip(seen, seen[1 : PARTS + 1]):
            self.assertGreater(more_taken, taken, "no mail was taken for a while")
            self.assertGreater(more_left, left, "no mail went for a while")
        self.assertGreater(seen[-1][1], seen[-1][2], "no more came than went")
        return ledger

    def counts(self, server, gone):
        """Messages accepted and gone so far."""
        shards = json.loads(server.run("status", "--json"))["shards"]
        of = {"delivered": lambda shard: shard["delivered"], "sent": lambda shard: shard["outgoing"]["sent"]}[gone]
        return sum(shard["accepted"] for shard in shards), sum(of(shard) for shard in shards)

    def finish(self, server, *words):
        """Waits until all of it has gone, and holds it against the ledger."""
        left = self.waiting(server)
        while left:
            wait_until(lambda: self.waiting(server) < left, "less mail that waits")
            left = self.waiting(server)
        command = [LOADTEST, "verify", "--wait", PATIENCE, *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        most = self.most(server)
        self.assertLess(most, MOST)
        print(f"  all of it gone and whole; {most} MiB resident at most ", end="", flush=True)

    def waiting(self, server):
        """Messages in its spool."""
        return sum(shard["waiting"] for shard in json.loads(server.run("status", "--json"))["shards"])

    def most(self, server):
        """The most MiB that were resident so far."""
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) >> 10

    def tell(self, gone, seen, report, server):
        """Prints both rates over the parts."""
        due = report["phases_ms"]["due_to_250"]
        print(f"\n{RATES[gone]} fall due a second for {SECONDS} s; from due to 250: median {due['p50']:.1f} ms, p99 {due['p99']:.1f} ms")
        for (at, taken, left), (then, more_taken, more_left) in zip(seen, seen[1:]):
            rates = (more_taken - taken) / (then - at), (more_left - left) / (then - at)
            print(f"  until {then:5.1f} s: {rates[0]:6.0f} taken a second, {rates[1]:6.0f} {gone}; {more_taken - more_left} wait")
        print(f"  {self.most(server)} MiB resident at most until then")
