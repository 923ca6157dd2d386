"""openssl s_client, over TLS from the start and over STARTTLS."""

import contextlib
import subprocess
import threading

from server import PATIENCE
from tls import TlsTest

DIALOGUE = b"EHLO client.example.org\r\nQUIT\r\n"


class OpensslTest(TlsTest):
    def s_client(self, address, *arguments, stdin=DIALOGUE, starttls=False):
        """What it printed, and whether it ended well."""
        host, port = address
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "localhost", "-CAfile", self.authority]
        command += ["-verify_return_error", "-ign_eof", *(["-starttls", "smtp"] if starttls else []), *arguments]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, **pipes) as client:
            watch = threading.Timer(PATIENCE, client.kill)
            watch.start()
            printed = b""
            # A client waits until it is greeted; after STARTTLS that was before.
            while not starttls and not printed.endswith(b"\n220 mx.example.org ESMTP ringpost\r\n"):
                line = client.stdout.readline()
                printed += line
                if not line:
                    break
            with contextlib.suppress(BrokenPipeError):
                client.stdin.write(stdin)
                client.stdin.close()
            printed += client.stdout.read()
            well = client.wait() == 0
            watch.cancel()
        return printed.decode(errors="replace"), well

    def ways(self):
        return [(self.implicit, False), (self.server.smtp, True)]

    def test_both_versions(self):
        for address, starttls in self.ways():
            for version, name in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")]:
                with self.subTest(starttls=starttls, version=name):
                    printed, well = self.s_client(address, version, starttls=starttls)
                    self.assertTrue(well, printed)
                    self.assertIn("Verify return code: 0 (ok)", printed)
                    self.assertRegex(printed, rf"New, {name}, Cipher is (TLS_AES|ECDHE-ECDSA)")
                    self.assertIn("250-mx.example.org Hello client.example.org", printed)
                    self.assertIn("221 2.0.0 ", printed)

    def test_older_versions_are_refused(self):
        for address, starttls in self.ways():
            for version in ["-tls1", "-tls1_1"]:
                # At this level OpenSSL itself would offer them.
                printed, well = self.s_client(address, version, "-cipher", "ALL:@SECLEVEL=0", starttls=starttls)
                self.assertFalse(well, printed)
                self.assertRegex(printed, "alert (protocol version|handshake failure)|unsupported protocol")
                self.assertNotIn("Hello client.example.org", printed)

    def test_sessions_are_resumed(self):
        for address, starttls in self.ways():
            for version in ["-tls1_3", "-tls1_2"]:
                with self.subTest(starttls=starttls, version=version):
                    kept = self.server.home / "session"
                    printed, well = self.s_client(address, version, "-sess_out", str(kept), starttls=starttls)
                    self.assertTrue(well and "New, TLSv1" in printed, printed)
                    printed, well = self.s_client(address, version, "-sess_in", str(kept), starttls=starttls)
                    self.assertTrue(well and "Reused, TLSv1" in printed, printed)

    def test_protocols(self):
        printed, well = self.s_client(self.implicit, "-alpn", "smtp")
        self.assertTrue(well and "ALPN protocol: smtp" in printed, printed)
        printed, well = self.s_client(self.implicit, "-alpn", "http/1.1")
        self.assertFalse(well, printed)
        self.assertIn("no application protocol", printed)

    def test_sharing_of_secrets_that_a_quantum_computer_could_undo_is_not_all_there_is(self):
        # OpenSSL 3.0 has no ML-KEM: it must get along with what it has.
        printed, well = self.s_client(self.implicit, "-groups", "X25519:P-256")
        self.assertTrue(well and "Server Temp Key: X25519" in printed, printed)

    def test_what_follows_starttls_is_not_used(self):
        host, port = self.server.smtp
        words = b"EHLO client\r\nSTARTTLS\r\nMAIL FROM:<evil@example.org>\r\n"
        command = ["timeout", "20", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}; read -r -u 3; cat >&3; cat <&3"]
        printed = subprocess.run(command, input=words, capture_output=True, timeout=PATIENCE, check=False).stdout
        self.assertIn(b"\r\n421 4.5.1 ", printed)
        self.assertNotIn(b"\r\n220 ", printed)
