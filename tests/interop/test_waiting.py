"""Intake keeps its pace while many messages wait for a destination that is dead, and all of them arrive when it is there again.

INTEROP_WAITING=50000 INTEROP_ROUNDS=7 INTEROP_MESSAGES=20000 tests/interop/run test_waiting
    so many that wait; rounds of each server, in turn; messages of a round
INTEROP_DELAY="1 hour" …
    how long a message waits between two attempts
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess

from peers import Sink, free_port
from relay import RelayTest, remote
from server import LOADTEST, PATIENCE, wait_until

WAITING = int(os.environ.get("INTEROP_WAITING", "2000"))
ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "2"))

MESSAGES = int(os.environ.get("INTEROP_MESSAGES", "1000"))

DELAY = os.environ.get("INTEROP_DELAY", "30 seconds")

# Messages that go into a Maildir in the end.
DELIVERED = 500

# Mail for this user ends in the pipeline: what is measured is taking it in and seeing it through.
NULL = '<mailet match="RecipientIs=other@localhost" class="Null"/>'


class Refuses:
    """Nobody listens there."""

    does = "refuses"

    def __init__(self, port):
        self.port = port

    def end(self):
        """Makes room for somebody."""


class Silent(Refuses):
    """Connections come about, and nothing is ever said."""

    does = "says nothing"

    def __init__(self, port, backlog=4096):
        super().__init__(port)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(backlog)

    def end(self):
        self.socket.close()


class Drops(Silent):
    """The kernel drops what asks for a connection: its backlog is full."""

    does = "drops what comes"

    def __init__(self, port):
        super().__init__(port, 0)
        self.fill = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
            self.fill.append(client)

    def end(self):
        for client in self.fill:
            client.close()
        super().end()


class WaitingTest(RelayTest):
    def test_a_destination_that_refuses(self):
        self.keep_pace(Refuses)

    def test_a_destination_that_says_nothing(self):
        self.keep_pace(Silent)

    def test_a_destination_that_drops_what_comes(self):
        self.keep_pace(Drops)

    def keep_pace(self, kind):
        """Measures a server with mail that waits beside one without, then has the destination come back."""
        dead = kind(free_port())
        self.addCleanup(dead.end)
        gateway = f"<gateway>127.0.0.1</gateway><gatewayPort>{dead.port}</gatewayPort>"
        way = remote(f"{gateway}<connectionTimeout>5000</connectionTimeout>", delays=f"500*{DELAY}", retries=500)
        full, empty = (self.relay(way, before=NULL) for _ in range(2))
        waiting = full.home / "ledger-waiting"
        self.load(full, WAITING, "box@dest.test", "--ledger", waiting)
        wait_until(lambda: self.waiting(full) == WAITING, "all of it in the queue")

        figures = {full: [], empty: []}
        for number in range(ROUNDS):
            for server in (full, empty) if number % 2 else (empty, full):
                figures[server].append(self.measure(server))
        self.assertEqual((self.waiting(full), self.waiting(empty)), (WAITING, 0))
        self.tell(kind, figures[full], figures[empty])

        # New mail is delivered while the other waits.
        new = full.home / "ledger-new"
        self.load(full, DELIVERED, "you@localhost", "--ledger", new)
        self.verify("--ledger", new, "--maildir", full.maildir())
        self.assertEqual(len(full.run("queue", "list", "--json").splitlines()), WAITING)

        # The destination is there again: all that waited arrives, each once.
        dead.end()
        sink = self.peer(Sink(port=dead.port))
        full.run("queue", "flush", "ALL", patience=10 * PATIENCE)
        left = WAITING
        while left:
            wait_until(lambda: self.waiting(full) < left, "less mail that waits")
            left = self.waiting(full)
        self.verify("--ledger", waiting, "--sink", sink.ledger)
        lines = [line for line in sink.taken() if not line.startswith("#")]
        self.assertEqual((len(lines), len({tuple(line.split()[:2]) for line in lines})), (WAITING, WAITING))

    def measure(self, server):
        """Messages a second, processor time of one in microseconds, and resident MiB, of one load."""
        cpu, accepted = server.cpu(), self.total(server, "accepted")
        waiting = self.waiting(server)
        report = self.load(server, MESSAGES, "other@localhost")
        wait_until(lambda: self.total(server, "accepted") == accepted + MESSAGES, "all of it counted")
        wait_until(lambda: self.waiting(server) == waiting, "all of it seen through")
        return report["messages_per_s"], (server.cpu() - cpu) / MESSAGES * 1e6, server.memory() / 1024

    def load(self, server, messages, recipient, *more):
        """Sends so many messages, all of which must be acknowledged; the figures."""
        figures = server.home / "figures.json"
        command = [LOADTEST, "source", "--to", "{}:{}".format(*server.smtp), "--sessions", "20", "--pipelining", "--quiet"]
        command += ["--from", "you@localhost", "--recipient", recipient, "--messages", str(messages), "--json", figures, *more]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        report = json.loads(figures.read_text())
        self.assertEqual(report["acknowledged"], messages)
        return report

    def verify(self, *words):
        """Holds what arrived against a ledger."""
        command = [LOADTEST, "verify", "--wait", PATIENCE, *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def total(self, server, figure):
        """A figure of `ringpost status`, over all shards."""
        return sum(shard[figure] for shard in json.loads(server.run("status", "--json"))["shards"])

    def waiting(self, server):
        """Messages in its spool."""
        return self.total(server, "waiting")

    def tell(self, kind, full, empty):
        """Prints medians with least and most."""

        def told(values, form):
            return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"

        print(f"\n{WAITING} wait for a destination that {kind.does}; {ROUNDS} rounds of {MESSAGES} in turn")
        for name, at, form in (("messages/s", 0, ".0f"), ("CPU µs a message", 1, ".1f"), ("resident MiB", 2, ".0f")):
            with_mail, without = [figure[at] for figure in full], [figure[at] for figure in empty]
            ratios = [one / other for one, other in zip(with_mail, without)]
            print(f"  {name}: {told(with_mail, form)} beside {told(without, form)}, ratio {told(ratios, '.2f')}")
