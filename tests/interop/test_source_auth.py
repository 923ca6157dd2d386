"""`loadtest source` proves who it is to ringpost, and `loadtest verify` reads what `ringpost spool export` has made."""

import subprocess

from server import LOADTEST, PATIENCE, ServedTest

USER, PASSWORD = "sender@localhost", "pass word"

SUBMISSION = """
  <auth><announce>always</announce><required>true</required><requireSSL>false</requireSSL></auth>"""

MESSAGES = 200


class SourceTest(ServedTest):
    """A server that wants a password, and keeps what it takes."""

    smtp = SUBMISSION
    own = "<delivery><hold>true</hold></delivery>"

    def setUp(self):
        super().setUp()
        self.server.run("user", "add", USER, said=PASSWORD)
        self.file = self.server.home / "password"

    def source(self, name, *how):
        """Sends messages; the ledger, how it ended and what it said."""
        ledger = self.server.home / name
        # Passwords are hashed when nothing else wants the processor, which may take its time.
        command = [LOADTEST, "source", "--to", "{}:{}".format(*self.server.smtp), "--sessions", "2", "--messages", str(MESSAGES)]
        command += ["--stall-timeout", str(PATIENCE)]
        done = subprocess.run([*command, "--ledger", ledger, *how], capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        return ledger, done.returncode, done.stdout + done.stderr

    def auth(self, mechanism, password=PASSWORD):
        """The options for it."""
        self.file.write_text(password + "\n")
        return ["--auth", mechanism, "--user", USER, "--password-file", self.file]

    def test_it_logs_in_and_the_export_is_verified(self):
        ledgers = []
        for mechanism in ("plain", "login"):
            ledger, status, said = self.source(f"ledger-{mechanism}", *self.auth(mechanism))
            self.assertEqual(status, 0, said)
            self.assertIn("AUTH", said)
            ledgers.append(ledger)
        log = (self.server.home / "log").read_text()
        for mechanism in ("PLAIN", "LOGIN"):
            self.assertIn(f"user={USER} mechanism={mechanism} why=proved", log)
        # Of a running server, and of a stopped one.
        for place in ("running", "stopped"):
            if place == "stopped":
                self.server.stop()
            export = self.server.home / f"export-{place}"
            self.server.run("spool", "export", export, "ALL")
            done = self.verify(export, *ledgers)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn(f"{2 * MESSAGES}", done.stdout)
        # One that is not there, and one that is damaged, are found out.
        first, second, *_ = sorted(export.glob("*.eml"))
        first.unlink()
        self.assertEqual(self.verify(export, *ledgers).returncode, 1)
        first.write_bytes(second.read_bytes().replace(b"Subject: ", b"Subjekt: ", 1)[:-30])
        self.assertEqual(self.verify(export, *ledgers).returncode, 1)

    def test_without_the_password_nothing_is_taken(self):
        _, status, said = self.source("ledger-wrong", *self.auth("plain", "another"))
        self.assertNotEqual(status, 0)
        self.assertIn("535", said)
        _, status, said = self.source("ledger-none")
        self.assertNotEqual(status, 0)
        self.assertIn("530", said)
        self.assertEqual(self.server.run("queue", "list"), "No mail waits.\n")

    def verify(self, export, *ledgers):
        """Holds an export against ledgers."""
        words = [word for ledger in ledgers for word in ("--ledger", ledger)]
        command = [LOADTEST, "verify", *words, "--messages", export]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
