"""A name server that does not answer for one domain: its mail waits, that of others goes, and nobody is busy with waiting."""

import json
import os
import re
import time
import unittest

from names import NameServer
from peers import Sink
from relay import RelayTest, remote
from server import wait_until

RECORDS = {
    "slow.test": [(10, "mx.slow.test")],
    "mx.slow.test": ["127.0.1.1"],
    "quick.test": [(10, "mx.quick.test")],
    "mx.quick.test": ["127.0.1.1"],
}

OTHERS = 20


@unittest.skipUnless(os.geteuid() == 0, "mail servers are asked on port 25, which is root's")
class SilentNamesTest(RelayTest):
    """Both domains have one server on port 25 of an address of loopback."""

    def setUp(self):
        self.names = self.peer(NameServer(RECORDS))
        self.names.silent.add("slow.test")
        self.sink = self.peer(Sink(port=25, address="127.0.1.1"))

    def serve(self, **how):
        return self.relay(remote("<maxDnsProblemRetries>1</maxDnsProblemRetries>", **how), dns=self.names.configuration())

    def test_mail_for_others_goes_meanwhile_and_what_waited_follows(self):
        server = self.serve()
        self.send(server, b"Subject: waits\r\n\r\n", ["a@slow.test"])
        wait_until(lambda: self.names.times_asked("slow.test"), "a question for the domain")
        for _ in range(OTHERS):
            self.send(server, b"Subject: goes\r\n\r\n", ["b@quick.test"])
        wait_until(lambda: len(self.recipients()) == OTHERS, "mail of the others")
        self.assertEqual(self.recipients(), ["b@quick.test"] * OTHERS)
        self.assertNotRegex(self.log(server), r" deferred ", "it was waited for the one before the others had gone")

        # A core that waits for the DNS alone is at rest.
        wait_until(lambda: self.total(server, "in_flight") == 0, "cores at rest")
        self.assertNotRegex(self.log(server), r" deferred ", "the wait was over before the cores were looked at")
        begun, cpu, pokes = time.monotonic(), server.cpu(), self.total(server, "pokes")
        server.wait_for_log(r" deferred .*to=<a@slow\.test>.* dsn=4\.4\.3 ")
        took, cpu, pokes = time.monotonic() - begun, server.cpu() - cpu, self.total(server, "pokes") - pokes
        print(f"{cpu:.2f} s of processor time and {pokes} pokes in {took:.1f} s of waiting ", end="", flush=True)

        self.names.silent.clear()
        wait_until(lambda: "a@slow.test" in self.recipients(), "the mail that waited")
        self.wait_until_empty(server)
        self.assertEqual(len(self.recipients()), OTHERS + 1)

    def test_it_is_given_up_after_the_retries_that_were_configured(self):
        server = self.serve(retries=1, delays="200 ms")
        self.send(server, b"Subject: in vain\r\n\r\n", ["a@slow.test"])
        (report,) = (file.read_text() for file in server.wait_for(1))
        self.assertRegex(report, r"(?m)^Final-Recipient: rfc822; ?a@slow\.test$")
        self.assertRegex(report, r"(?m)^Action: failed$")
        self.assertRegex(report, r"(?m)^Status: [45]\.4\.\d$")
        self.assertIn(" 4.4.3 ", report)
        self.assertEqual(len(re.findall(r" deferred .*to=<a@slow\.test>", self.log(server))), 1)
        self.assertEqual(self.recipients(), [])
        self.wait_until_empty(server)

    def log(self, server):
        """All that was logged so far."""
        return (server.home / "log").read_text()

    def total(self, server, figure):
        """A figure of `ringpost status`, over all shards."""
        return sum(shard[figure] for shard in json.loads(server.run("status", "--json"))["shards"])

    def recipients(self):
        """Whom the sink has taken mail for."""
        return sorted(line.split()[-1] for line in self.sink.taken() if not line.startswith("#"))
