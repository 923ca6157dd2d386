"""testssl.sh, which looks for everything that is known to be wrong with TLS."""

import json
import os
import subprocess

from tls import TlsTest

# Seconds for one run over all its tests; it is a script that starts thousands of processes.
BUDGET = 420

# Findings about what a test cannot have: an authority that the public knows, and a name in the public DNS.
OF_PUBLIC_AUTHORITIES = {"DNS_CAArecord", "OCSP_stapling", "certificate_transparency", "cert_ocspURL"}


class TestsslTest(TlsTest):
    def findings(self, address, *arguments):
        """What it found, as it writes it down."""
        report = self.server.home / "testssl.json"
        report.unlink(missing_ok=True)
        host, port = address
        command = ["testssl", "--warnings", "off", "--color", "0", "--nodns", "min", "--ip", host, "--quiet"]
        command += ["--add-ca", str(self.authority), "--jsonfile", str(report), *arguments, f"localhost:{port}"]
        environment = dict(os.environ, TERM="dumb", OPENSSL_TIMEOUT="20")
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=BUDGET, check=False, env=environment
        )
        self.assertTrue(report.exists(), (ended.stdout + ended.stderr).decode(errors="replace"))
        return json.loads(report.read_text())

    def assert_nothing_bad(self, found):
        """Nothing of severity MEDIUM or above, and it did look."""
        looked = {finding["id"] for finding in found}
        self.assertTrue({"TLS1_2", "TLS1_3", "cert_chain_of_trust"} <= looked, looked)
        bad = [
            finding
            for finding in found
            if finding["severity"] in {"MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}
            and finding["id"].split(" ")[0] not in OF_PUBLIC_AUTHORITIES
        ]
        self.assertEqual(bad, [])

    def test_tls_from_the_start(self):
        self.assert_nothing_bad(self.findings(self.implicit))

    def test_starttls(self):
        chosen = ["--protocols", "--server-defaults", "--server-preference", "--vulnerable", "--starttls", "smtp"]
        self.assert_nothing_bad(self.findings(self.server.smtp, *chosen))
