"""Signatures (DKIM), as Debian's python3-dkim finds them."""

import base64
import json
import subprocess

from peers import Postfix
from relay import RelayTest, gateway
from server import PATIENCE

# Run by Debian's own Python, which has the package. It is given the key that the DNS would have.
VERIFY = """
import dkim, json, sys
key = sys.argv[1].encode()
message = sys.stdin.buffer.read()
asked = []
def dns(name, timeout=5):
    asked.append(name.decode())
    return key
try:
    right = dkim.DKIM(message).verify(dnsfunc=dns)
except dkim.ValidationError:
    right = False
print(json.dumps({"right": right, "asked": asked}))
"""


class DkimTest(RelayTest):
    def keys(self, kind):
        """A private key, and what the DNS says of it."""
        made = subprocess.run(["openssl", "genpkey", *kind], capture_output=True, text=True, check=True).stdout
        public = subprocess.run(["openssl", "pkey", "-pubout", "-outform", "DER"], input=made.encode(), capture_output=True, check=True).stdout
        return made, public

    def signing(self, template, before=""):
        return f"""{before}<mailet match="All" class="DKIMSign"><signatureTemplate>{template}</signatureTemplate>
            <privateKeyFilepath>file://conf/dkim.pem</privateKeyFilepath></mailet>"""

    def delivered(self, key, template, contents, before=""):
        """What arrives of mails that are signed on their way."""
        postfix = self.peer(Postfix("local_header_rewrite_clients =\ndisable_mime_output_conversion = yes"))
        server = self.relay(gateway(postfix), before=self.signing(template, before), files={"dkim.pem": key})
        for content in contents:
            self.send(server, content, ["box@dest.test"], parameters=" BODY=8BITMIME")
        return postfix.wait_for(len(contents))

    def assert_right(self, mail, record):
        """The signature of a mail is right, and is not once the mail was changed."""
        self.assertEqual(mail.count(b"\nDKIM-Signature: "), 1, mail)
        start = mail.index(b"DKIM-Signature: ")
        # What the mailbox has put before it is not the mail.
        wire = mail[start:].replace(b"\n", b"\r\n")
        result = self.verify(wire, record)
        self.assertTrue(result["right"], wire)
        self.assertEqual(result["asked"], ["mail._domainkey.example.org."])
        self.assertFalse(self.verify(wire.replace(b"Subject: ", b"Subject: no "), record)["right"])
        self.assertFalse(self.verify(wire + b"more\r\n", record)["right"])

    def verify(self, wire, record):
        done = subprocess.run(["/usr/bin/python3", "-c", VERIFY, record], input=wire, capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    CONTENTS = [
        b"From: you@localhost\r\nTo: box@dest.test\r\nSubject: plain\r\n\r\nText.\r\n",
        b"From: you@localhost\r\nTo: a@b.test,\r\n\tbox@dest.test\r\nSubject:  folded \r\n  twice\r\n\r\n\r\n.  Text \t \r\n\r\n\r\n",
        "From: you@localhost\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\r\nÜber.\r\n".encode(),
        b"From: you@localhost\r\nSubject: no body\r\n\r\n",
        b"From: you@localhost\r\nSubject: large\r\n\r\n" + b"x" * 70 + b"\r\n" + b"line\r\n" * 100_000,
    ]

    def test_rsa_simple_and_relaxed(self):
        private, public = self.keys(["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        record = "v=DKIM1; k=rsa; p=" + base64_of(public)
        for c in ("relaxed/relaxed", "simple/simple"):
            with self.subTest(c):
                template = f"v=1; a=rsa-sha256; c={c}; d=example.org; s=mail; t=; h=from:to:subject:subject:cc; bh=; b=;"
                mails = self.delivered(private, template, self.CONTENTS)
                for mail in mails:
                    self.assert_right(mail, record)

    def test_what_was_changed_before_is_signed_as_it_leaves(self):
        private, public = self.keys(["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        record = "v=DKIM1; k=rsa; p=" + base64_of(public)
        before = """<mailet match="All" class="AddSubjectPrefix"><subjectPrefix>[out]</subjectPrefix></mailet>
            <mailet match="All" class="SetMimeHeader"><name>X-Way</name><value>out</value></mailet>
            <mailet match="All" class="AddFooter"><text>A footer.</text></mailet>"""
        template = "v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=mail; h=from:subject:x-way:x-way; bh=; b=;"
        (mail,) = self.delivered(private, template, self.CONTENTS[:1], before)
        self.assertIn(b"\nSubject: [out] plain\n", mail)
        self.assertIn(b"A footer.", mail)
        self.assert_right(mail, record)

    def test_ed25519(self):
        private, public = self.keys(["-algorithm", "ED25519"])
        record = "v=DKIM1; k=ed25519; p=" + base64_of(public[-32:])
        template = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=mail; h=from:subject; bh=; b=;"
        for mail in self.delivered(private, template, self.CONTENTS[:3]):
            self.assert_right(mail, record)


def base64_of(octets):
    """In one line."""
    return base64.b64encode(octets).decode()
