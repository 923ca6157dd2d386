"""A ringpost of its own for a test: a home with a generated configuration, and ports that the kernel chose."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
# Another build may be tried, such as one that was broken on purpose.
RINGPOST = Path(os.environ.get("INTEROP_RINGPOST", TARGET / "release" / "ringpost"))
LOADTEST = TARGET / "release" / "loadtest"

# Seconds in which a server starts or stops, and in which what was accepted is delivered.
PATIENCE = 60

SENDER = "sender@example.org"
USERS = ["you@localhost", "other@localhost"]

CONFIGURATION = {
    "smtpserver.xml": """
        <smtpservers>
          <smtpserver>
            <bind>127.0.0.1:0</bind>
            <helloName autodetect="false">mx.example.org</helloName>
            <maxmessagesize>50M</maxmessagesize>
            <verifyIdentity>disabled</verifyIdentity>
            <handlerchain coreHandlersPackage="org.apache.james.smtpserver.CoreCmdHandlerLoader">
              <handler class="org.apache.james.smtpserver.fastfail.ValidRcptHandler"/>
            </handlerchain>
          </smtpserver>
        </smtpservers>""",
    "lmtpserver.xml": """
        <lmtpservers>
          <lmtpserver>
            <bind>127.0.0.1:0</bind>
            <helloName autodetect="false">mx.example.org</helloName>
            <handlerchain coreHandlersPackage="org.apache.james.lmtpserver.CoreCmdHandlerLoader">
              <handler class="org.apache.james.lmtpserver.CoreCmdHandlerLoader"/>
            </handlerchain>
          </lmtpserver>
        </lmtpservers>""",
    "domainlist.xml": """
        <domainlist>
          <autodetect>false</autodetect>
          <autodetectIP>false</autodetectIP>
          <defaultDomain>localhost</defaultDomain>
        </domainlist>""",
    "ringpost.xml": """
        <ringpost>
          <spool>
            <segmentSize>32M</segmentSize>
            <reserve>64M</reserve>
            <volatile>true</volatile>
          </spool>
        </ringpost>""",
}


def wait_until(condition, what):
    """Waits until a condition holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come about within {PATIENCE} s")
        time.sleep(0.02)


class Ringpost:
    """One server, which may be started again in the same home.

    `smtp` is added to the SMTP server's element, `own` to that of ringpost.xml; `descriptors` is how many it may have at most;
    `passwords` are those of users that have one; `prepare` is given the directory of the configuration before anything reads it.
    """

    def __init__(self, smtp="", own="", descriptors=None, passwords=None, prepare=None):
        parent = TARGET / "interop"
        parent.mkdir(parents=True, exist_ok=True)
        self.home = Path(tempfile.mkdtemp(prefix="home-", dir=parent))
        self.process = None
        self.smtp = self.lmtp = None
        self.descriptor_limit = descriptors
        self.announcement = ""
        self.shards = 0
        conf = self.home / "conf"
        conf.mkdir()
        for name, text in CONFIGURATION.items():
            if "<verifyIdentity>" in smtp:
                text = text.replace("<verifyIdentity>disabled</verifyIdentity>", "")
            text = text.replace("</smtpserver>", smtp + "</smtpserver>").replace("</ringpost>", own + "</ringpost>")
            (conf / name).write_text(text.strip() + "\n")
        if prepare:
            prepare(conf)
        self.run("user", "add", "--no-password", *USERS)
        for user, password in (passwords or {}).items():
            self.run("user", "passwd", user, said=password)

    def run(self, *words, said="", patience=PATIENCE):
        """Runs another verb of the command, which must succeed within so many seconds; what it wrote."""
        command = [RINGPOST, "--conf", self.home / "conf", *words]
        done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=patience)
        if done.returncode:
            raise AssertionError(f"ringpost {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start(self):
        """Starts it, and waits until it has said where it listens."""
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                [RINGPOST, "--conf", self.home / "conf"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                preexec_fn=self._limit_descriptors,
            )
        announcement = ""
        while "\n  mail " not in announcement:
            line = self.process.stdout.readline().decode()
            if not line:
                raise AssertionError(f"ringpost did not start, it ended with {self.process.wait()}:\n{self.log()}")
            announcement += line
        self.announcement = announcement
        self.shards = announcement.count("\n  shard ")
        self.smtp, self.lmtp = (
            ("127.0.0.1", int(re.search(rf"{protocol} +127\.0\.0\.1:(\d+)", announcement)[1]))
            for protocol in ("SMTP", "LMTP")
        )

    def address(self, name):
        """Where the server of that name listens."""
        return ("127.0.0.1", int(re.search(rf" 127\.0\.0\.1:(\d+) \({name}\)", self.announcement)[1]))

    def _limit_descriptors(self):
        if self.descriptor_limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptor_limit, self.descriptor_limit))

    def wait_until_prepared(self):
        """Waits until each shard of a new spool has made its files; from then on idle servers have the same descriptors."""
        wait_until(lambda: (self.home / "log").read_text().count(" spool-prepared ") == self.shards, "a prepared spool")

    def descriptors(self):
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def sockets(self):
        """How many of them are sockets."""
        count = 0
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(descriptor).startswith("socket:")
        return count

    def memory(self):
        """Its resident memory in KiB."""
        return int(re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def cpu(self):
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        """Stops it in order; anything but success is an error."""
        status = self._end(signal.SIGTERM)
        if status != 0:
            raise AssertionError(f"ringpost ended with {status}:\n{self.log()}")

    def kill(self):
        """Ends it as a crash of the process would."""
        self._end(signal.SIGKILL)

    def _end(self, with_signal):
        self.process.send_signal(with_signal)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"ringpost did not end within {PATIENCE} s:\n{self.log()}") from None
        self.process.stdout.close()
        self.process = None
        return status

    def remove(self):
        """Ends it if it still runs, and removes its home."""
        if self.process:
            self.kill()
        shutil.rmtree(self.home)

    def maildir(self, user=USERS[0]):
        """The Maildir of a user."""
        local, domain = user.split("@")
        return self.home / "var" / "mail" / domain / local

    def files(self, user=USERS[0]):
        """What is in a user's mailbox, in the order of arrival."""
        new = self.maildir(user) / "new"
        return sorted(new.iterdir(), key=lambda file: file.name) if new.exists() else []

    def wait_for(self, count, user=USERS[0]):
        """Waits until a user's mailbox has so many messages, and returns their files."""
        until = time.monotonic() + PATIENCE
        while len(files := self.files(user)) < count and time.monotonic() < until:
            time.sleep(0.02)
        if len(files) != count:
            raise AssertionError(f"{len(files)} messages of {count} arrived for {user}:\n{self.log()}")
        return files

    def wait_for_log(self, pattern):
        """Waits until a line of its log matches."""
        wait_until(lambda: re.search(pattern, (self.home / "log").read_text()), f"a line of the log with {pattern}")

    def log(self):
        """The end of its log."""
        return "".join((self.home / "log").read_text().splitlines(keepends=True)[-40:])


class ServedTest(unittest.TestCase):
    """A test with a server of its own, which is configured by what a class sets here."""

    smtp = own = ""
    descriptors = passwords = None

    def setUp(self):
        self.server = Ringpost(self.smtp, self.own, self.descriptors, self.passwords)
        self.addCleanup(self.server.remove)
        self.server.start()

    def run_client(self, *command, stdin=b"", fails=False):
        """Runs a client to its end and returns what it printed."""
        ended = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE, check=False)
        printed = (ended.stdout + ended.stderr).decode(errors="replace")
        self.assertEqual(ended.returncode != 0, fails, f"{command} ended with {ended.returncode}:\n{printed}")
        return printed
