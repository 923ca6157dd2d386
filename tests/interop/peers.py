"""Real peers around ringpost, each in a directory of its own with its own configuration, on ports of loopback."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from server import LOADTEST, PATIENCE, TARGET, wait_until

EXIM = TARGET / "interop" / "exim" / "usr" / "sbin" / "exim4"


def free_port():
    """A port of loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def messages_in(directory):
    """The contents of all mails in the `new` of any Maildir below a directory."""
    return [path.read_bytes() for path in sorted(directory.glob("**/new/*")) if path.is_file()]


class Peer:
    """A server that is started in the foreground, and ended by its process group."""

    def __init__(self, name):
        # Not below the project: whoever the peer runs as must be able to reach it.
        self.home = Path(tempfile.mkdtemp(prefix=f"interop-{name}-"))
        self.home.chmod(0o755)
        self.name = name
        self.address = "127.0.0.1"
        self.port = free_port()
        self.process = None

    def directory(self, name, owner=None, mode=0o755):
        """A directory in its home."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if owner:
            user = pwd.getpwnam(owner)
            os.chown(path, user.pw_uid, user.pw_gid)
        return path

    def write(self, name, text):
        """A file in its home."""
        path = self.home / name
        path.write_text(text)
        return path

    def run(self, *command):
        """Starts it, and waits until it takes connections."""
        with open(self.home / "said", "ab") as said:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{self.name} did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def answers(self):
        """Whether somebody takes connections on its port."""
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex((self.address, self.port)) == 0

    def log(self):
        """The end of what it wrote down."""
        files = [path for path in self.home.glob("*") if path.name in ("said", "log")] + list(self.home.glob("log/*"))
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in files if path.is_file())

    def stop(self):
        """Ends it with all its processes."""
        if self.process:
            for with_signal in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, with_signal)
                    self.process.wait(10)
                    break
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass
            self.process = None

    def remove(self):
        """Ends it, and removes its home."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def mails(self):
        """The contents of what it has delivered."""
        return messages_in(self.home / "mail")

    def wait_for(self, count):
        """Waits until it has delivered so many mails; their contents."""
        try:
            wait_until(lambda: len(self.mails()) >= count, f"{count} mails at {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it has {len(self.mails())}:\n{self.log()}") from None
        mails = self.mails()
        if len(mails) != count:
            raise AssertionError(f"{self.name} has {len(mails)} mails and not {count}")
        return mails


class Postfix(Peer):
    """Postfix; it delivers `dest.test` into its own Maildirs, and `relayhost` takes what it is told to pass on."""

    DAEMONS = """
        pickup unix n - n 60 1 pickup
        cleanup unix n - n - 0 cleanup
        qmgr unix n - n 300 1 qmgr
        rewrite unix - - n - - trivial-rewrite
        bounce unix - - n - 0 bounce
        defer unix - - n - 0 bounce
        trace unix - - n - 0 bounce
        proxymap unix - - n - - proxymap
        smtp unix - - n - - smtp
        relay unix - - n - - smtp
        lmtp unix - - n - - lmtp
        error unix - - n - - error
        retry unix - - n - - error
        virtual unix - n n - - virtual
        anvil unix - - n - 1 anvil
        scache unix - - n - 1 scache
        tlsmgr unix - - n 1000 1 tlsmgr
        postlog unix-dgram n - n - 1 postlogd
    """

    def __init__(self, settings="", port=None, address="127.0.0.1"):
        super().__init__("postfix")
        self.address = address
        self.port = port or self.port
        for name in "active bounce corrupt defer deferred flush hold incoming private saved trace".split():
            self.directory(f"queue/{name}", "postfix", 0o700)
        self.directory("queue")
        self.directory("queue/pid")
        for name, mode in (("maildrop", 0o1730), ("public", 0o710)):
            self.directory(f"queue/{name}", "postfix", mode)
        self.directory("data", "postfix", 0o700)
        self.directory("mail", "postfix", 0o755)
        user = pwd.getpwnam("postfix")
        own = f"""
            compatibility_level = 3.6
            queue_directory = {self.home}/queue
            data_directory = {self.home}/data
            daemon_directory = /usr/lib/postfix/sbin
            maillog_file = {self.home}/log
            maillog_file_prefixes = {self.home}
            myhostname = postfix.test
            mydestination =
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            mynetworks = 127.0.0.0/8
            smtp_dns_support_level = disabled
            smtp_tls_security_level = none
            smtputf8_enable = no
            alias_maps =
            local_recipient_maps =
            virtual_mailbox_domains = dest.test
            virtual_mailbox_base = {self.home}/mail
            virtual_mailbox_maps = static:box/
            virtual_minimum_uid = 1
            virtual_uid_maps = static:{user.pw_uid}
            virtual_gid_maps = static:{user.pw_gid}
            {settings}
        """
        self.write("main.cf", "\n".join(line.strip() for line in own.splitlines()))
        daemons = f"{self.address}:{self.port} inet n - n - - smtpd\n" + self.DAEMONS
        self.write("master.cf", "\n".join(line.strip() for line in daemons.splitlines()))

    def start(self):
        """Starts it."""
        return self.run("/usr/lib/postfix/sbin/master", "-s", "-c", self.home)


class Exim(Peer):
    """Exim; it delivers everything into one Maildir."""

    def __init__(self):
        super().__init__("exim")
        for name in ("spool", "log", "mail"):
            self.directory(name, "nobody")
        self.write(
            "configuration",
            f"""
exim_path = {EXIM}
primary_hostname = exim.test
spool_directory = {self.home}/spool
log_file_path = {self.home}/log/%slog
pid_file_path = {self.home}/spool/pid
exim_user = nobody
exim_group = nogroup
never_users =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
domainlist local_domains = *
acl_smtp_rcpt = everything
keep_environment =
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
begin acl
everything:
  accept
begin routers
here:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {self.home}/mail
  maildir_format
  create_directory
  envelope_to_add
  return_path_add
  user = nobody
  group = nogroup
begin retry
* * F,1h,1s
""",
        )

    def start(self):
        """Starts it."""
        return self.run(EXIM, "-C", self.home / "configuration", "-bdf", "-q10s")


class Dovecot(Peer):
    """Dovecot's LMTP server; every user that is named has a Maildir."""

    def __init__(self):
        super().__init__("dovecot")
        self.directory("mail", "nobody")
        self.directory("run/empty")
        user = pwd.getpwnam("nobody")
        self.write(
            "configuration",
            f"""
protocols = lmtp
base_dir = {self.home}/run
state_dir = {self.home}/run
log_path = {self.home}/log
ssl = no
hostname = dovecot.test
first_valid_uid = 1
mail_location = maildir:{self.home}/mail/%n
mail_fsync = always
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={self.home}/mail/%n allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
""",
        )

    def start(self):
        """Starts it."""
        return self.run("dovecot", "-F", "-c", self.home / "configuration")


class Unbound(Peer):
    """A resolver that knows a zone by heart, and whom it asks for others."""

    def __init__(self, records, rest=""):
        super().__init__("unbound")
        data = "\n".join(f"  local-data: '{record}'" for record in records)
        self.write(
            "configuration",
            f"""
server:
  interface: 127.0.0.1@{self.port}
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{self.home}"
  pidfile: "{self.home}/pid"
  use-syslog: no
  logfile: "{self.home}/log"
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  num-threads: 1
  local-zone: "test." static
{data}
remote-control:
  control-enable: no
{rest}
""",
        )

    def start(self):
        """Starts it."""
        return self.run("unbound", "-c", self.home / "configuration")


class Sink(Peer):
    """`loadtest sink`: takes what it is told to take, and writes down what it took."""

    def __init__(self, *options, port=None, address="127.0.0.1"):
        super().__init__("sink")
        self.options = options
        self.address = address
        self.port = port or self.port
        self.ledger = self.home / "ledger"

    def start(self):
        """Starts it."""
        listen = f"{self.address}:{self.port}"
        return self.run(LOADTEST, "sink", "--listen", listen, "--ledger", self.ledger, *self.options)

    def answers(self):
        # A probe would be counted as a session.
        said = self.home / "said"
        return said.exists() and str(self.port) in said.read_text()

    def taken(self):
        """The lines of its ledger."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []
