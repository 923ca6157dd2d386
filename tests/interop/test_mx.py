"""Where mail for a domain goes, by what a real name server says of it (RFC 5321 §5.1, RFC 7505)."""

import os
import unittest

from peers import Sink, Unbound, free_port
from relay import RelayTest, remote
from server import wait_until

RECORDS = [
    # Two hosts, of which the better one is away.
    "two.test. MX 20 second.test.",
    "two.test. MX 10 first.test.",
    "first.test. A 127.0.1.9",
    "second.test. A 127.0.1.2",
    # The better one of several that are there.
    "best.test. MX 20 second.test.",
    "best.test. MX 5 one.test.",
    "one.test. A 127.0.1.1",
    # No MX: the host itself.
    "implicit.test. A 127.0.1.1",
    # One that is an alias, and one whose exchanger is.
    "alias.test. CNAME best.test.",
    "aliased.test. MX 10 www.test.",
    "www.test. CNAME one.test.",
    # Hosts without an address, and then one with.
    "partly.test. MX 5 nowhere.test.",
    "partly.test. MX 10 one.test.",
    "addressless.test. MX 10 nowhere.test.",
    'nowhere.test. TXT "no address"',
    # No mail is wanted (RFC 7505).
    "null.test. MX 0 .",
    # It leads back here.
    "loop.test. MX 10 mx.example.org.",
    # Aliases in a circle.
    "circle.test. CNAME round.test.",
    "round.test. CNAME circle.test.",
    'void.test. TXT "neither MX nor address"',
]


@unittest.skipUnless(os.geteuid() == 0, "mail servers are asked on port 25, which is root's")
class ExchangerTest(RelayTest):
    """Servers of other domains listen on port 25 of addresses of loopback."""

    def setUp(self):
        # Nobody answers there: what is asked there is an error of the server (SERVFAIL).
        dead = free_port()
        rest = f'forward-zone:\n  name: "broken.example."\n  forward-addr: 127.0.0.1@{dead}\n'
        self.names = self.peer(Unbound(RECORDS, rest))
        self.sinks = [self.peer(Sink(port=25, address=f"127.0.1.{number}")) for number in (1, 2)]
        dns = f"""<dnsservice><servers><server>127.0.0.1:{self.names.port}</server></servers>
            <autodiscover>false</autodiscover></dnsservice>"""
        self.server = self.relay(remote("<maxDnsProblemRetries>1</maxDnsProblemRetries>", delays="200 ms, 300 ms", retries=2), dns=dns)

    def test_mail_goes_where_the_domain_says(self):
        wanted = {"two": 1, "best": 0, "implicit": 0, "alias": 0, "aliased": 0, "partly": 0}
        for name in wanted:
            self.send(self.server, b"Subject: x\r\n\r\n", [f"{name}@{name}.test"])
        for place in (0, 1):
            expected = sorted(f"{name}@{name}.test" for name, at in wanted.items() if at == place)
            wait_until(lambda: self.recipients(place) == expected, f"{expected} at {place}, not {self.recipients(place)}")
        self.wait_until_empty(self.server)

    def test_recipients_of_one_message_part_by_their_domains(self):
        recipients = ["a@best.test", "b@two.test", "c@implicit.test"]
        self.send(self.server, b"Subject: x\r\n\r\n", recipients)
        wait_until(lambda: self.recipients(0) == ["a@best.test", "c@implicit.test"], "two at one")
        wait_until(lambda: self.recipients(1) == ["b@two.test"], "one at the other")
        self.wait_until_empty(self.server)

    def test_what_can_never_arrive_comes_back_at_once(self):
        statuses = {"null": "5.1.10", "loop": "5.4.6", "void": "5.4.4", "missing": "5.1.2", "addressless": "5.4.4"}
        for name in statuses:
            self.send(self.server, b"Subject: x\r\n\r\n", [f"{name}@{name}.test"])
        reports = [file.read_text() for file in self.server.wait_for(len(statuses))]
        for name, status in statuses.items():
            found = [report for report in reports if f"{name}@{name}.test" in report]
            self.assertEqual(len(found), 1, name)
            self.assertIn(f"\nStatus: {status}\n", found[0], name)
        self.wait_until_empty(self.server)
        self.assertEqual((self.recipients(0), self.recipients(1)), ([], []))

    def test_an_answer_that_does_not_come_is_waited_for(self):
        for name in ("broken.example", "circle.test"):
            self.send(self.server, b"Subject: x\r\n\r\n", [f"a@{name}"])
        self.server.wait_for_log(r" deferred .*a@broken\.example")
        # It is given up in the end, and said to be no verdict of anybody.
        reports = [file.read_text() for file in self.server.wait_for(2)]
        broken = next(report for report in reports if "a@broken.example" in report)
        self.assertIn("\nStatus: 5.4.3\n", broken)
        self.assertIn(" 4.4.3 ", broken)
        self.wait_until_empty(self.server)

    def test_without_a_name_server_mail_waits_and_then_goes(self):
        self.names.stop()
        self.send(self.server, b"Subject: x\r\n\r\n", ["a@best.test"])
        self.server.wait_for_log(r" deferred .*a@best\.test")

    def recipients(self, place):
        """Whom a sink has taken mail for."""
        return sorted(line.split()[-1] for line in self.sinks[place].taken() if not line.startswith("#"))
