"""testssl.sh, which looks for everything that is known to be wrong with TLS."""

import json
import os
import subprocess

from tls import TlsTest

# Seconds for one run over all its tests; it is a script that starts thousands of processes.
BUDGET = 420

# Findings about what a test cannot have: an authority that the public knows, and a name in the public DNS.
OF_PUBLIC_AUTHORITIES = {"DNS_CAArecord", "OCSP_stapling", "certificate_transparency", "cert_ocspURL"}

# How bad what it finds is; WARN is about what it could not find out.
BAD = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}


class TestsslTest(TlsTest):
    def start(self, name, address, *arguments):
        """Has it look at a server, and write down what it finds."""
        report = self.server.home / f"{name}.json"
        host, port = address
        command = ["testssl", "--warnings", "off", "--color", "0", "--nodns", "min", "--ip", host, "--quiet"]
        command += ["--add-ca", str(self.authority), "--jsonfile", str(report), *arguments, f"localhost:{port}"]
        environment = dict(os.environ, TERM="dumb")
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return report, subprocess.Popen(command, env=environment, **pipes)

    def test_nothing_bad_is_found(self):
        thorough = ["--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable"]
        chosen = ["--protocols", "--server-defaults", "--server-preference", "--starttls", "smtp"]
        # Most of the time they wait, so they do that together.
        runs = [self.start("implicit", self.implicit, *thorough), self.start("starttls", self.server.smtp, *chosen)]
        for report, run in runs:
            try:
                printed, _ = run.communicate(timeout=BUDGET)
            except subprocess.TimeoutExpired:
                run.kill()
                raise
            self.assertTrue(report.exists(), printed.decode(errors="replace"))
            found = json.loads(report.read_text())
            looked = {finding["id"] for finding in found}
            self.assertTrue({"TLS1_2", "TLS1_3", "cert_chain_of_trust"} <= {name.split(" ")[0] for name in looked}, looked)
            bad = [finding for finding in found if finding["severity"] in BAD]
            self.assertEqual([finding for finding in bad if finding["id"].split(" ")[0] not in OF_PUBLIC_AUTHORITIES], [])
