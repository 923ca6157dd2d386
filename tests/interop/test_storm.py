"""A storm of connections that end in every way: no limit is exceeded by even one, and nothing is left of it."""

import re
import socket

from server import LOADTEST, PATIENCE, ServedTest, wait_until

LIMIT = 200
LIMIT_PER_IP = 12
ADDRESSES = 20

# Connections that make the server grow to what such a storm needs, and those after which it must be no larger.
FIRST, STORM = 10_000, 100_000

# KiB that the resident memory may differ: 42 octets a connection, less than the least thing that could be kept of one.
TOLERANCE = 4096


class StormTest(ServedTest):
    smtp = f"""<connectionLimit>{LIMIT}</connectionLimit><connectionLimitPerIP>{LIMIT_PER_IP}</connectionLimitPerIP>
               <connectionBacklog>2000</connectionBacklog>"""

    def test_a_storm_exceeds_no_limit_and_leaves_nothing(self):
        self.server.wait_until_prepared()
        idle = self.server.sockets()
        self.storm(FIRST)
        self.assert_all_places_are_free(idle)
        memory = self.server.memory()

        printed = self.storm(STORM)
        print(f"\n{printed}", end="", flush=True)
        self.assertRegex(printed, rf"admitted +\d+ in all, {LIMIT} at once, {LIMIT_PER_IP} at once from one address\n")
        for text in ("Too busy, please try again later", "Too many connections from your address"):
            self.assertRegex(printed, rf"refused +\d+ x 421 4\.7\.0 mx\.example\.org {text}\n")
        self.assert_all_places_are_free(idle)
        print(f"memory       {memory} KiB before, {self.server.memory()} KiB after; {idle} sockets ", end="", flush=True)
        self.assertAlmostEqual(self.server.memory(), memory, delta=TOLERANCE)
        self.assertEqual(self.server.files(), [], "no message was completed")

    def storm(self, connections):
        options = {
            "--to": "{}:{}".format(*self.server.smtp),
            "--connections": connections,
            "--at-once": LIMIT + 100,
            "--addresses": ADDRESSES,
            "--limit": LIMIT,
            "--limit-per-address": LIMIT_PER_IP,
        }
        return self.run_client(LOADTEST, "storm", *(str(word) for option in options.items() for word in option))

    def assert_all_places_are_free(self, sockets):
        """Fills every place, in all and of one address, each at the first attempt."""
        addresses = [f"127.0.0.{1 + number % ADDRESSES}" for number in range(LIMIT)]
        for sources, why in ((addresses, b"Too busy"), (["127.0.0.5"] * LIMIT_PER_IP, b"Too many connections")):
            wait_until(lambda: self.server.sockets() == sockets, f"{sockets} sockets, as before the storm,")
            held = [self.dial(source) for source in sources]
            self.assertEqual({banner[:4] for _, banner in held}, {b"220 "})
            refused, reply = self.dial("127.0.0.5")
            self.assertTrue(re.match(rb"421 4\.7\.0 mx\.example\.org " + why, reply), reply)
            for client in (refused, *(client for client, _ in held)):
                client.close()
        wait_until(lambda: self.server.sockets() == sockets, f"{sockets} sockets, as before the storm,")

    def dial(self, source):
        client = socket.create_connection(self.server.smtp, PATIENCE, (source, 0))
        return client, client.recv(512)


class StormThroughAnAcceptorTest(StormTest):
    """The same where a thread of its own takes connections and hands them to the shards."""

    smtp = StormTest.smtp + "<bossWorkerCount>1</bossWorkerCount>"
