"""File systems of a test's own, and a server whose spool and mailboxes are on one."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from server import LOADTEST, PATIENCE, TARGET, USERS, Ringpost, wait_until

FAULTFS = TARGET / "machine" / "release" / "faultfs"

ROUNDS = int(os.environ.get("MACHINE_ROUNDS", "5"))

# Which rounds are made; printed, so that a failure can be tried again.
SEED = int(os.environ.get("MACHINE_SEED", time.time_ns() % 1_000_000))

# How the load of a round is sent, one after the other.
WAYS = [[], ["--bdat"], ["--pipelining"], ["--size", "200000"], ["--lmtp"], ["--size", "700000", "--sessions", "5"]]


def run(*command):
    """Runs a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def unmount(directory):
    """Unmounts, also what somebody still uses."""
    subprocess.run(["umount", "--lazy", str(directory)], capture_output=True, check=False)


class FaultFs:
    """Our own layer, mounted; see faultfs/src/commands.rs for what it can be told."""

    def __init__(self, directory, capacity=None):
        self.directory = directory
        directory.mkdir()
        command = [FAULTFS, directory, *([str(capacity)] if capacity else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        if self.process.stdout.readline() != "mounted\n":
            raise AssertionError(f"{directory} could not be mounted")

    def tell(self, *words):
        """Gives a command, and returns the answer."""
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise AssertionError(f"{words}: {answer}")
        return answer

    def end(self):
        """Unmounts it; what it held is gone."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        unmount(self.directory)


class OwnedRingpost(Ringpost):
    """A server that runs as another user, if one is given."""

    def __init__(self, user, **how):
        super().__init__(**how)
        self.user = user

    def _limit_descriptors(self):
        super()._limit_descriptors()
        if self.user:
            os.setgroups([])
            os.setgid(self.user)
            os.setuid(self.user)


class Machine(unittest.TestCase):
    """A test with a directory of its own, and servers in it."""

    def setUp(self):
        parent = TARGET / "interop"
        parent.mkdir(parents=True, exist_ok=True)
        self.home = Path(tempfile.mkdtemp(prefix="machine-", dir=parent))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.random = random.Random(f"{SEED} {self.id()}")
        self.ledgers = []

    def fault_fs(self, capacity=None):
        """Our layer at `disk` in the home."""
        layer = FaultFs(self.home / "disk", capacity)
        self.addCleanup(layer.end)
        return layer

    def loop(self, size, make, options=""):
        """A file system on a loop device at `disk` in the home: `make` is the command that makes it on the file it is given."""
        directory, image = self.home / "disk", self.home / "image"
        directory.mkdir()
        run("truncate", f"--size={size}", image)
        run(*make, image)
        run("mount", "-o", ",".join(["loop", *([options] if options else [])]), image, directory)
        self.addCleanup(unmount, directory)
        return directory

    def serve(self, spool, mail=None, spool_settings="", own="", user=None):
        """A server, not started, with its spool here and its mailboxes there; of this user, if one is given."""
        mail = f"<mail><directory>{mail}</directory></mail>" if mail else ""
        settings = f"<segmentSize>4M</segmentSize><reserve>16M</reserve>{spool_settings}"
        text = f"<ringpost><spool><directory>{spool}</directory>{settings}</spool>{mail}{own}</ringpost>\n"
        server = OwnedRingpost(user, prepare=lambda conf: (conf / "ringpost.xml").write_text(text))
        self.addCleanup(server.remove)
        return server

    def source(self, server, ledger, how=(), sessions=10):
        """Load until the server is gone, or is told to end."""
        to = "{}:{}".format(*(server.lmtp if "--lmtp" in how else server.smtp))
        command = [LOADTEST, "source", "--to", to, "--duration", "60", "--until-lost", "--quiet", "--ledger", ledger]
        sessions = [] if "--sessions" in how else ["--sessions", str(sessions)]
        log = server.home / "log"
        begun = log.stat().st_size
        source = subprocess.Popen([*command, *sessions, *how], stdin=subprocess.DEVNULL)
        self.addCleanup(source.wait)
        self.addCleanup(source.kill)
        # A program that starts may take its time on a busy machine; the ledger is written when there is much to write.
        wait_until(lambda: " accepted " in since(log, begun), "a first message")
        return source

    def ledger(self):
        """A file for one more ledger."""
        self.ledgers.append(self.home / f"ledger-{len(self.ledgers)}")
        return self.ledgers[-1]

    def verify(self, maildir, *ledgers, fails=False):
        """Holds a mailbox against ledgers; the figures that it printed."""
        words = [word for ledger in ledgers for word in ("--ledger", ledger)]
        wait = "3" if fails else str(PATIENCE - 10)
        command = [LOADTEST, "verify", *words, "--maildir", maildir, "--wait", wait]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
        self.assertEqual(done.returncode != 0, fails, done.stdout + done.stderr)
        return done.stdout

    def kill_round(self, server, maildir, number, seconds):
        """Load, SIGKILL in its midst, a start; what was acknowledged is there. How many messages that were."""
        ledger = self.ledger()
        source = self.source(server, ledger, WAYS[number % len(WAYS)])
        time.sleep(seconds)
        self.assertEqual(source.poll(), None)
        server.kill()
        self.assertEqual(source.wait(PATIENCE), 0)
        server.start()
        self.verify(maildir, ledger)
        return acknowledged(ledger)


def acknowledged(ledger):
    """Messages that a ledger has."""
    if not ledger.exists():
        return 0
    return sum(1 for line in ledger.read_text().splitlines() if line and not line.startswith("#"))


def since(log, begun):
    """What was logged behind this place."""
    with log.open() as file:
        file.seek(begun)
        return file.read()


def empty(maildir):
    """Removes all mail, durably, as a reader would."""
    for folder in ("new", "tmp", "cur"):
        folder = maildir / folder
        if folder.is_dir():
            for file in folder.iterdir():
                file.unlink()
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def logged(server, word):
    """Lines of the log with this word."""
    return re.findall(rf"^.* {word} .*$", (server.home / "log").read_text(), re.M)


def mailbox(mail, user=USERS[0]):
    """The Maildir of a user below a directory of mailboxes."""
    local, domain = user.split("@")
    return mail / domain / local
