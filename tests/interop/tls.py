"""A ringpost that speaks TLS, with certificates of an authority that the test makes."""

import subprocess

from server import Ringpost, ServedTest

# What a certificate of a public authority has, as far as testers look for it.
EXTENSIONS = """
basicConstraints=critical,CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:mx.example.org,IP:127.0.0.1
crlDistributionPoints=URI:http://authority.example/list.crl
certificatePolicies=2.23.140.1.2.1
"""

TLS = '<tls {start}="true"><privateKey>conf/key.pem</privateKey><certificates>conf/chain.pem</certificates></tls>'

# The server that there is anyway has STARTTLS; another one begins with TLS.
SERVERS = (
    TLS.format(start="startTLS")
    + """<verifyIdentity>disabled</verifyIdentity></smtpserver><smtpserver>
      <jmxName>implicit</jmxName>
      <bind>127.0.0.1:0</bind>
      <helloName autodetect="false">mx.example.org</helloName>
      <verifyIdentity>disabled</verifyIdentity>
      <handlerchain coreHandlersPackage="org.apache.james.smtpserver.NoAuthCmdHandlerLoader">
        <handler class="org.apache.james.smtpserver.fastfail.ValidRcptHandler"/>
      </handlerchain>"""
    + TLS.format(start="socketTLS")
)


def openssl(*arguments, stdin=b""):
    """Runs openssl, which must succeed."""
    ended = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=60, check=False)
    if ended.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {ended.stderr.decode()}")
    return ended.stdout


class TlsTest(ServedTest):
    """A test with a server that has STARTTLS, and one named `implicit` that begins with TLS."""

    def setUp(self):
        self.server = Ringpost(SERVERS, prepare=self.make_keys)
        self.addCleanup(self.server.remove)
        self.authority = self.server.home / "conf" / "authority.pem"
        self.server.start()
        self.implicit = self.server.address("implicit")

    @staticmethod
    def make_keys(conf):
        """Makes an authority, and a key and certificates of it."""
        authority = conf / "authority.pem"
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
        openssl(
            "req", "-x509", *ec, "-days", 90, "-subj", "/CN=ringpost test authority", "-out", authority,
            "-keyout", conf / "authority-key.pem", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )
        openssl("req", *ec, "-keyout", conf / "key.pem", "-out", conf / "request.pem", "-subj", "/CN=localhost")
        (conf / "extensions").write_text(EXTENSIONS)
        openssl(
            "x509", "-req", "-in", conf / "request.pem", "-CA", authority, "-CAkey", conf / "authority-key.pem",
            "-set_serial", "0x4d3a1c0b59e87f26", "-days", 80, "-out", conf / "certificate.pem", "-extfile", conf / "extensions",
        )
        (conf / "chain.pem").write_text((conf / "certificate.pem").read_text() + authority.read_text())
