"""Clients that submit mail with a password: over STARTTLS, over TLS from the start, and in the clear where that is allowed."""

import json
import smtplib
import ssl
import subprocess
import unittest

from server import REPOSITORY, TARGET, USERS, ServedTest

PASSWORD = "correct horse"
KEYS = REPOSITORY / "tests" / "keystores"
CA = KEYS / "server-ca.pem"

# The name in the certificate of the keys.
HOST = "mx.example.org"

# As files have it; what goes over the wire ends its lines with CR LF.
MESSAGE = f"From: <{USERS[0]}>\nTo: <{USERS[1]}>\nSubject: submitted\n\ntext\n".encode()
ON_THE_WIRE = MESSAGE.replace(b"\n", b"\r\n")

NODEMAILER = TARGET / "interop" / "nodemailer"
SCRIPT = """
const [options, message] = JSON.parse(require("fs").readFileSync(0));
require("nodemailer").createTransport(options).sendMail(message)
  .then((sent) => console.log(sent.response), (error) => { console.error(error.message); process.exit(1); });
"""


def server(tls, require_ssl="true"):
    keys = f"<privateKey>file://{KEYS}/mx-key.pem</privateKey><certificates>file://{KEYS}/mx-chain.pem</certificates>"
    return f"""
        <tls {tls}>{keys if "true" in tls else ""}</tls>
        <verifyIdentity>strict</verifyIdentity>
        <auth><announce>always</announce><required>true</required><requireSSL>{require_ssl}</requireSSL></auth>"""


class Submission:
    """What every way of submitting must do; how TLS begins is for the classes below."""

    passwords = {USERS[0]: PASSWORD}
    own = "<limits><authFailureDelay>0s</authFailureDelay></limits>"
    scheme, swaks_tls, msmtp_tls, curl_tls = "smtp", [], ["--tls=off"], []

    def arrived(self, protocol):
        """The message is in the mailbox, and its Received field tells how it came."""
        [file] = self.server.wait_for(1, USERS[1])
        self.assertIn(f" with {protocol} id ".encode(), file.read_bytes())

    def test_swaks(self):
        host, port = self.server.smtp
        for mechanism in ("PLAIN", "LOGIN"):
            common = ["--server", host, "--port", str(port), "--auth", mechanism, "--auth-user", USERS[0], *self.swaks_tls]
            envelope = ["--from", USERS[0], "--to", USERS[1], "--header", f"From: {USERS[0]}"]
            printed = self.run_client("swaks", *common, *envelope, "--auth-password", PASSWORD)
            self.assertRegex(printed, r"(?m)^<[-~]  235 2\.7\.0 ")
            printed = self.run_client("swaks", *common, *envelope, "--auth-password", "wrong", fails=True)
            self.assertRegex(printed, r"(?m)^<[*~]\* 535 5\.7\.8 ")
        self.server.wait_for(2, USERS[1])

    def curl(self, password, fails=False):
        url = "{}://{}:{}/client.example.org".format(self.scheme, HOST, self.server.smtp[1])
        resolve = f"{HOST}:{self.server.smtp[1]}:{self.server.smtp[0]}"
        command = ["curl", "--silent", "--show-error", "--crlf", url, "--resolve", resolve, "--cacert", CA, *self.curl_tls]
        envelope = ["--mail-from", USERS[0], "--mail-rcpt", USERS[1], "--upload-file", "-"]
        return self.run_client(*command, "--user", f"{USERS[0]}:{password}", *envelope, stdin=MESSAGE, fails=fails)

    def test_curl(self):
        self.curl(PASSWORD)
        self.arrived(self.protocol)
        self.curl("wrong", fails=True)

    def msmtp(self, password, fails=False):
        host, port = self.server.smtp
        command = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", "--auth=plain", f"--user={USERS[0]}"]
        word = f"--passwordeval=printf %s '{password}'"
        return self.run_client(*command, word, *self.msmtp_tls, f"--from={USERS[0]}", "--", USERS[1], stdin=MESSAGE, fails=fails)

    def test_msmtp(self):
        self.msmtp(PASSWORD)
        self.arrived(self.protocol)
        self.msmtp("wrong", fails=True)

    def test_smtplib(self):
        with self.smtplib() as session:
            self.assertRaises(smtplib.SMTPAuthenticationError, session.login, USERS[0], "wrong")
            session.login(USERS[0], PASSWORD)
            self.assertEqual(session.sendmail(USERS[0], USERS[1], ON_THE_WIRE), {})
        self.arrived(self.protocol)

    def test_a_stranger_sends_nothing(self):
        with self.smtplib() as session, self.assertRaises(smtplib.SMTPSenderRefused) as refused:
            session.sendmail("sender@example.org", USERS[1], ON_THE_WIRE)
        self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error[:5]), (530, b"5.7.0"))

    def test_users_send_as_themselves(self):
        with self.smtplib() as session:
            session.login(USERS[0], PASSWORD)
            with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
                session.sendmail(USERS[1], USERS[1], ON_THE_WIRE)
            self.assertEqual(refused.exception.smtp_code, 503)
            forged = ON_THE_WIRE.replace(USERS[0].encode(), USERS[1].encode())
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                session.sendmail(USERS[0], USERS[1], forged)
            self.assertEqual(refused.exception.smtp_code, 503)

    def smtplib(self):
        return smtplib.SMTP(*self.server.smtp, local_hostname="client.example.org")

    @unittest.skipUnless((NODEMAILER / "node_modules").exists(), "nodemailer is not installed")
    def test_nodemailer(self):
        host, port = self.server.smtp
        options = {"host": host, "port": port, "name": "client.example.org", **self.nodemailer}
        options["tls"] = {"ca": CA.read_text(), "servername": HOST}
        message = {"from": USERS[0], "to": USERS[1], "subject": "submitted", "text": "text"}
        for password, fails in ((PASSWORD, False), ("wrong", True)):
            options["auth"] = {"user": USERS[0], "pass": password}
            ended = subprocess.run(
                ["node", "-e", SCRIPT],
                cwd=NODEMAILER,
                input=json.dumps([options, message]).encode(),
                capture_output=True,
                timeout=60,
                check=False,
            )
            printed = (ended.stdout + ended.stderr).decode()
            self.assertEqual(ended.returncode != 0, fails, printed)
            self.assertIn("535 5.7.8" if fails else "250 2.6.0", printed)
        self.arrived(self.protocol)


def context():
    made = ssl.create_default_context(cafile=CA)
    # The connection goes to an address, the certificate has a name.
    made.check_hostname = False
    return made


class StartTlsTest(Submission, ServedTest):
    """As on port 587."""

    smtp = server('startTLS="true"')
    protocol = "ESMTPSA"
    swaks_tls, curl_tls = ["--tls"], ["--ssl-reqd"]
    msmtp_tls = ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={CA}", f"--tls-host-override={HOST}"]
    nodemailer = {"secure": False, "requireTLS": True}

    def smtplib(self):
        session = super().smtplib()
        session.starttls(context=context())
        return session

    def test_no_password_passes_in_clear(self):
        with super().smtplib() as session:
            session.ehlo()
            self.assertNotIn("auth", session.esmtp_features)
            code, text = session.docmd("AUTH", "PLAIN AGEAYg==")
            self.assertEqual((code, text[:6]), (538, b"5.7.11"))


class ImplicitTlsTest(Submission, ServedTest):
    """As on port 465."""

    smtp = server('socketTLS="true"')
    protocol = "ESMTPSA"
    scheme, swaks_tls = "smtps", ["--tls-on-connect"]
    msmtp_tls = ["--tls=on", "--tls-starttls=off", f"--tls-trust-file={CA}", f"--tls-host-override={HOST}"]
    nodemailer = {"secure": True}

    def smtplib(self):
        return smtplib.SMTP_SSL(*self.server.smtp, local_hostname="client.example.org", context=context())


class ScramTest(ServedTest):
    """SCRAM-SHA-256 in the clear: no password passes, and msmtp checks the server's proof as well."""

    passwords = Submission.passwords
    own = Submission.own
    smtp = server('startTLS="false"', require_ssl="false").replace(
        "</auth>", "<saslMechanisms>ScramSha256SaslMechanismFactory</saslMechanisms></auth>"
    )

    def test_msmtp(self):
        host, port = self.server.smtp
        command = ["msmtp", "--file=/dev/null", f"--host={host}", f"--port={port}", "--auth=scram-sha-256", "--tls=off"]
        envelope = [f"--user={USERS[0]}", f"--from={USERS[0]}", "--", USERS[1]]
        self.run_client(*command, f"--passwordeval=printf %s '{PASSWORD}'", *envelope, stdin=MESSAGE)
        self.run_client(*command, "--passwordeval=printf wrong", *envelope, stdin=MESSAGE, fails=True)
        self.server.wait_for(1, USERS[1])


class ClearTest(Submission, ServedTest):
    """As on port 25 where the operator lets passwords pass in clear."""

    smtp = server('startTLS="false"', require_ssl="false")
    protocol = "ESMTPA"
    nodemailer = {"secure": False, "ignoreTLS": True}
