"""SIGKILL under load: what was acknowledged is there and whole after the next start, every time."""

import os
import subprocess
import time

from server import LOADTEST, PATIENCE, ServedTest

# More of them: INTEROP_ROUNDS=100 tests/interop/run test_kill
ROUNDS = int(os.environ.get("INTEROP_ROUNDS", "10"))


class KillTest(ServedTest):
    def test_nothing_acknowledged_is_lost(self):
        ledgers, fetched = [], self.server.home / "fetched"
        fetched.mkdir()
        for number in range(ROUNDS):
            ledger = self.server.home / f"ledger-{number}"
            how = [[], ["--bdat"], ["--pipelining"], ["--size", "200000"], ["--lmtp"]][number % 5]
            address = self.server.lmtp if "--lmtp" in how else self.server.smtp
            source = self.source(address, ledger, how)
            time.sleep(0.7 + 0.13 * (number % 10))
            self.server.kill()
            self.assert_ended(source)
            self.assertGreater(len(ledger.read_text().splitlines()), 10, f"round {number} with {how} had no load")
            self.server.start()
            ledgers.append(ledger)
            self.verify(ledger)
            self.fetch(fetched)
        self.verify(*ledgers, more=fetched)
        messages = sum(len(ledger.read_text().splitlines()) - 1 for ledger in ledgers)
        print(f"{ROUNDS} kills, {messages} messages acknowledged ", end="", flush=True)

    def source(self, address, ledger, how):
        to = "{}:{}".format(*address)
        command = [LOADTEST, "source", "--to", to, "--sessions", "20", "--duration", "30", "--until-lost", "--quiet"]
        source = subprocess.Popen([*command, "--ledger", ledger, *how], stdin=subprocess.DEVNULL)
        self.addCleanup(source.kill)
        return source

    def assert_ended(self, source):
        self.assertEqual(source.wait(PATIENCE), 0)

    def fetch(self, directory):
        """Takes out of the mailbox what is there, as a reader of mail does: each round looks at its own."""
        for file in self.server.files():
            file.rename(directory / file.name)

    def verify(self, *ledgers, more=None):
        arguments = [argument for ledger in ledgers for argument in ("--ledger", ledger)]
        arguments += ["--maildir", self.server.maildir(), *(["--messages", more] if more else [])]
        command = [LOADTEST, "verify", *arguments, "--wait", str(PATIENCE - 10)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
