"""The yardsticks run to their end and tell figures that make sense; what the figures are is nobody's business here."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from server import LOADTEST

BENCH = Path(LOADTEST).with_name("bench")
PATIENCE = 240


class Bench(unittest.TestCase):
    def run_bench(self, *words):
        """Runs it in a directory of its own, which must be empty afterwards; the figures."""
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "files"
            files.mkdir()
            json_path = Path(folder) / "figures.json"
            command = [BENCH, *words, "--directory", files, "--json", json_path]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(list(files.iterdir()), [])
            return json.loads(json_path.read_text())

    def test_ring(self):
        figures = self.run_bench("ring", "--seconds", "0.005")
        measured = [case for case in figures["cases"] if "error" not in case]
        self.assertGreater(len(measured), 40)
        for case in measured:
            self.assertGreater(case["per_second"]["median"], 0, case)
            self.assertLessEqual(case["p50_us"], case["p99_us"], case)

    def test_compare(self):
        words = ["--sessions", "4", "--rounds", "1", "--seconds", "0.5", "--prepared", "2"]
        figures = self.run_bench("compare", *words)
        self.assertEqual(len(figures["servers"]), 5)
        for server in figures["servers"]:
            self.assertGreater(server["messages_per_s"]["median"], 0, server)
            self.assertGreater(server["share_of_writing"]["median"], 0, server)

    def test_compare_large(self):
        words = ["--size", "1000000", "--pipelining", "false", "--sessions", "2", "--rounds", "1", "--seconds", "0.5"]
        figures = self.run_bench("compare", *words, "--prepared", "4")
        self.assertTrue(all(server["messages_per_s"]["median"] > 0 for server in figures["servers"]), figures)

    def test_count(self):
        words = ["--size", "4096", "--size", "400000", "--no-instructions"]
        figures = self.run_bench("count", *words)
        for size in figures["sizes"]:
            # Whatever is done, content goes through the process's memory, and its envelope is kept somewhere.
            self.assertGreaterEqual(size["messages"], 20, size)
            self.assertGreater(size["allocations"], 0, size)
            self.assertLess(size["content_copied"], 10, size)


if __name__ == "__main__":
    unittest.main()
