"""The way to the next hop under TLS: where it is asked for, and that nothing goes without it there."""

import os
import re
import unittest

from peers import Postfix, Sink, Unbound
from relay import RelayTest, gateway, remote
from server import wait_until
from tls import openssl

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


class PostfixTlsTest(RelayTest):
    """Postfix says in its Received field how the mail came: what the log says of the same mail must fit it."""

    OFFERED = """smtpd_tls_security_level = may
        smtpd_tls_received_header = yes
        smtpd_tls_chain_files = $queue_directory/../chain.pem"""

    def postfix(self, settings="", **where):
        """A Postfix with a key of its own."""
        postfix = Postfix("local_header_rewrite_clients =\n" + settings, **where)
        chain = postfix.home / "chain.pem"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=postfix.test"]
        certificate = openssl("req", "-x509", *key, "-days", 9, "-keyout", chain)
        chain.write_bytes(chain.read_bytes() + certificate)
        return self.peer(postfix)

    def arrives(self, server, postfix):
        """How one mail came, by the Received field of Postfix; and what the log has after `tls=`."""
        self.send(server, b"Subject: x\r\n\r\nhello\r\n", ["box@dest.test"])
        mail = postfix.wait_for(1)[0].decode()
        self.wait_until_empty(server)
        server.wait_for_log(" sent .*to=<box@dest.test>")
        told = re.search(r" sent .*to=<box@dest\.test> .*\btls=(\S+)", server.log()).group(1)
        by = re.search(r"(?s)\(using (TLSv\S+) with cipher (\S+) .*?by postfix\.test \(Postfix\) with ESMTPS ", mail)
        if by is None:
            self.assertIn("by postfix.test (Postfix) with ESMTP id ", mail)
        return by and by.groups(), told

    def test_what_is_offered_is_used(self):
        postfix = self.postfix(self.OFFERED)
        (version, cipher), told = self.arrives(self.relay(gateway(postfix)), postfix)
        self.assertEqual(version, "TLSv1.3")
        self.assertEqual(told, f"{version}:{cipher}:unverified")

    def test_mail_goes_in_clear_where_nothing_is_offered(self):
        postfix = self.postfix()
        self.assertEqual(self.arrives(self.relay(gateway(postfix)), postfix), (None, "none"))

    def test_mail_goes_in_clear_where_the_handshake_fails(self):
        postfix = self.postfix(self.OFFERED + "\nsmtpd_tls_protocols = <=TLSv1.1")
        self.assertEqual(self.arrives(self.relay(gateway(postfix)), postfix), (None, "none:handshake-failed"))

    @unittest.skipUnless(os.geteuid() == 0, "mail servers are asked on port 25, which is root's")
    def test_what_a_host_of_the_domain_offers_is_used(self):
        names = self.peer(Unbound(["dest.test. MX 10 mx.dest.test.", "mx.dest.test. A 127.0.1.3"]))
        postfix = self.postfix(self.OFFERED, port=25, address="127.0.1.3")
        dns = f"""<dnsservice><servers><server>127.0.0.1:{names.port}</server></servers>
            <autodiscover>false</autodiscover></dnsservice>"""
        (version, cipher), told = self.arrives(self.relay(remote(), dns=dns), postfix)
        self.assertEqual(told, f"{version}:{cipher}:unverified")
