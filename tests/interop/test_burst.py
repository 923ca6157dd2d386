"""More mail than the next hop takes, and next hops that are slow, full, rude or gone: nothing is lost, nothing twice."""

import subprocess

from peers import Sink
from relay import RelayTest, gateway
from server import LOADTEST, PATIENCE, wait_until

MESSAGES = 1500


class BurstTest(RelayTest):
    def load(self, server, messages, *options):
        """Sends messages as fast as they are taken; the ledger of what was acknowledged."""
        ledger = server.home / "ledger"
        command = [LOADTEST, "source", "--to", "{}:{}".format(*server.smtp), "--messages", str(messages), "--quiet"]
        command += ["--recipient", "box@dest.test", "--from", "you@localhost", "--ledger", ledger, *options]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE * 2, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return ledger

    def verify(self, server, ledger, sink):
        """Holds what was acknowledged against what the next hop has: all of it, once."""
        wait_until(lambda: server.run("queue", "list") == "No mail waits.\n", "an empty spool")
        command = [LOADTEST, "verify", "--ledger", ledger, "--sink", sink.ledger]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_ten_times_what_the_next_hop_takes(self):
        # Each session of it takes at most twenty messages a second.
        sink = self.peer(Sink("--sessions", "4", "--delay", "dot:0.05"))
        server = self.relay(gateway(sink))
        ledger = self.load(server, MESSAGES, "--sessions", "20", "--pipelining")
        behind = len(sink.taken())
        self.assertLess(behind, MESSAGES // 2, "the next hop was not slow")
        self.verify(server, ledger, sink)

    def test_a_hop_that_fails_now_and_then(self):
        faults = ["mail:451:0.05", "rcpt:452:0.05", "data:451:0.05", "dot:451:0.1", "connect:421:0.1", "rcpt:drop:0.03", "mail:drop:0.03"]
        sink = self.peer(Sink(*(word for fault in faults for word in ("--fault", fault))))
        server = self.relay(gateway(sink, delays="200 ms, 300*400 ms"))
        ledger = self.load(server, 300, "--sessions", "10")
        self.verify(server, ledger, sink)

    def test_a_hop_that_drops_the_connection_after_the_data(self):
        # Whether it has the message nobody knows, so it is sent again; this hop has not acknowledged it and does not count it.
        sink = self.peer(Sink("--fault", "dot:drop:0.3"))
        server = self.relay(gateway(sink, delays="200 ms, 300*400 ms"))
        ledger = self.load(server, 100, "--sessions", "5")
        self.verify(server, ledger, sink)

    def test_a_slow_hop_holds_nobody_up(self):
        slow = self.peer(Sink("--delay", "greeting:600"))
        quick = self.peer(Sink())
        before = f"""<mailet match="RecipientIs=slow@dest.test" class="RemoteDelivery"><delayTime>1 second</delayTime>
            <gateway>127.0.0.1</gateway><gatewayPort>{slow.port}</gatewayPort></mailet>"""
        server = self.relay(gateway(quick), before=before)
        for _ in range(50):
            self.send(server, b"Subject: x\r\n\r\n", ["slow@dest.test"])
        ledger = self.load(server, 300, "--sessions", "10")
        command = [LOADTEST, "verify", "--ledger", ledger, "--sink", quick.ledger, "--wait", str(PATIENCE - 10)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
