"""The way to the next hop under TLS: where it is asked for, and that nothing goes without it there."""

from peers import Sink
from relay import RelayTest, gateway
from server import wait_until

TRUST = "<sslTrustAllCerts>true</sslTrustAllCerts>"


class HopTlsTest(RelayTest):
    def mails(self, sink):
        """What a sink took."""
        return [line for line in sink.taken() if not line.startswith("#")]

    def arrives(self, sink, more):
        """Sends one mail through a gateway, which gets it."""
        server = self.relay(gateway(sink, more=more))
        self.send(server, b"Subject: x\r\n\r\nhello\r\n", ["box@dest.test"])
        self.wait_until_empty(server)
        wait_until(lambda: len(self.mails(sink)) == 1, "the mail at the next hop")

    def stays(self, sink, more, reason):
        """Sends one mail through a gateway, which does not get it; why is told."""
        server = self.relay(gateway(sink, more=more))
        self.send(server, b"Subject: x\r\n\r\nhello\r\n", ["box@dest.test"])
        wait_until(lambda: reason in server.run("queue", "list"), reason)
        self.assertEqual(self.mails(sink), [])

    def test_tls_from_the_first_octet(self):
        self.arrives(self.peer(Sink("--tls")), "<sslEnable>true</sslEnable>" + TRUST)

    def test_tls_that_is_required_and_trusted(self):
        self.arrives(self.peer(Sink("--starttls")), "<startTLS>true</startTLS>" + TRUST)

    def test_a_certificate_of_nobody_is_not_believed_where_tls_is_required(self):
        self.stays(self.peer(Sink("--starttls")), "<startTLS>true</startTLS>", "ertificate")

    def test_nothing_goes_in_clear_where_tls_is_required(self):
        self.stays(self.peer(Sink()), "<startTLS>true</startTLS>" + TRUST, "TLS")

    def test_the_password_for_a_gateway_is_said_under_tls_alone(self):
        login = "<gatewayUsername>me</gatewayUsername><gatewayPassword>secret</gatewayPassword>"
        self.arrives(self.peer(Sink("--starttls", "--user", "me:secret")), "<startTLS>true</startTLS>" + TRUST + login)
        wrong = login.replace("secret", "wrong")
        self.stays(self.peer(Sink("--starttls", "--user", "me:secret")), "<startTLS>true</startTLS>" + TRUST + wrong, "535")
        self.stays(self.peer(Sink("--user", "me:secret")), TRUST + login, "TLS")
