#!/usr/bin/env python3
"""The same load against Postfix and ringpost in turn, on this machine.

Both sync a message before they say 250, both write their log to a file, both hold the mail, both look the recipient up.
Each round starts a server, warms it up, measures it, stops it, and moves its queue aside (deleting would slow down what
follows); the order changes from round to round. See README.md for what the figures mean.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
SEGMENT = 64 << 20
START_LIMIT = 120
STOP_LIMIT = 60


class Failure(Exception):
    """The comparison cannot go on; the text says why."""


# --- processor time ---------------------------------------------------------------------------------------------------


class ControlGroup:
    """Counts the processor time of all processes started in it, ended ones included."""

    def __init__(self, folder, processes, usage, unit):
        self.folder, self.processes, self.usage, self.unit = folder, folder / processes, folder / usage, unit

    @staticmethod
    def make(name):
        """A group in the first hierarchy that lets us make one: version 1's cpuacct, or version 2. None if there is none."""
        for line in Path("/proc/mounts").read_text().splitlines():
            _, mount, kind, options, *_ = line.split()
            group = None
            if kind == "cgroup" and "cpuacct" in options.split(","):
                group = ControlGroup(Path(mount) / name, "cgroup.procs", "cpuacct.usage", 1e9)
            elif kind == "cgroup2":
                group = ControlGroup(Path(mount) / name, "cgroup.procs", "cpu.stat", 1e6)
            if group:
                with contextlib.suppress(OSError, ValueError, StopIteration):
                    group.folder.mkdir()
                    group.seconds()
                    return group
        return None

    def enter(self):
        """To be called in a child between fork and exec."""
        self.processes.write_text(str(os.getpid()))

    def seconds(self):
        text = self.usage.read_text()
        if self.usage.name == "cpu.stat":
            text = next(line.split()[1] for line in text.splitlines() if line.startswith("usage_usec"))
        return int(text) / self.unit

    def remove(self):
        for _ in range(50):
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.1)


def stat_fields(pid):
    """The fields of /proc/PID/stat from the third on, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def process_seconds(pid):
    """Processor time of one process with all its threads."""
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def family_seconds(master):
    """Processor time of a process, its children that ended and were waited for, and its descendants that live."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    all_fields = {pid: fields for pid in pids if (fields := stat_fields(pid))}
    family, added = {master}, True
    while added:
        children = {pid for pid, fields in all_fields.items() if int(fields[1]) in family} - family
        family |= children
        added = bool(children)
    return sum(sum(map(int, all_fields[pid][11:15])) for pid in family if pid in all_fields) / TICKS


def machine_seconds():
    """Seconds for which the processors were busy, and for which the hypervisor gave them to others."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


# --- the servers ------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def greets(port):
    """Whether the server on the port says 220 and takes QUIT."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            greeting = connection.recv(512)
            connection.sendall(b"QUIT\r\n")
            connection.recv(512)
            return greeting.startswith(b"220")
    except OSError:
        return False


def wait_until(what, check, seconds):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Server:
    """What the rounds need of a server: start, stop, processor time, and a queue that can be moved aside."""

    def __init__(self, home):
        self.home, self.port, self.group, self.moved = home, free_port(), None, 0
        home.mkdir()
        home.chmod(0o755)

    def spawn(self, command, **more):
        self.group = ControlGroup.make(f"compare-{self.name}-{os.getpid()}")
        return subprocess.Popen(command, preexec_fn=self.group.enter if self.group else None, **more)

    def cpu(self):
        return self.group.seconds() if self.group else self.cpu_by_process()

    def cpu_method(self):
        return f"control group {self.group.folder}" if self.group else self.process_method

    def release_group(self):
        if self.group:
            self.group.remove()
            self.group = None

    def aside(self, folder):
        """Moves a folder away and returns where it is now."""
        self.moved += 1
        target = self.home / f"aside.{self.moved}"
        folder.rename(target)
        return target


class Postfix(Server):
    """An instance of its own: own configuration, queue, data and port; the system's instance is not touched."""

    name = "postfix"
    process_method = "master: own time, ended children and living descendants, from /proc/PID/stat"

    MAIN = """
        compatibility_level = 3.6
        queue_directory = {home}/queue
        data_directory = {home}/data
        maillog_file = {home}/maillog
        maillog_file_prefixes = {home}
        myhostname = localhost.localdomain
        mydestination = localhost
        mynetworks = 127.0.0.0/8
        inet_interfaces = loopback-only
        inet_protocols = ipv4
        alias_maps =
        alias_database =
        local_recipient_maps = inline:{{ {{ you@localhost = you }} }}
        smtpd_peername_lookup = no
        smtpd_client_restrictions = check_client_access static:HOLD
        smtpd_relay_restrictions = reject_unauth_destination
        smtpd_recipient_restrictions = reject_unlisted_recipient
        default_process_limit = {processes}
        message_size_limit = 0
        mailbox_size_limit = 0
        """

    MASTER = """
        127.0.0.1:{port} inet n - n - - smtpd
        pickup    unix  n       -       n       60      1       pickup
        cleanup   unix  n       -       n       -       0       cleanup
        qmgr      unix  n       -       n       300     1       qmgr
        tlsmgr    unix  -       -       n       1000?   1       tlsmgr
        rewrite   unix  -       -       n       -       -       trivial-rewrite
        bounce    unix  -       -       n       -       0       bounce
        defer     unix  -       -       n       -       0       bounce
        trace     unix  -       -       n       -       0       bounce
        verify    unix  -       -       n       -       1       verify
        flush     unix  n       -       n       1000?   0       flush
        proxymap  unix  -       -       n       -       -       proxymap
        proxywrite unix -       -       n       -       1       proxymap
        smtp      unix  -       -       n       -       -       smtp
        relay     unix  -       -       n       -       -       smtp
        showq     unix  n       -       n       -       -       showq
        error     unix  -       -       n       -       -       error
        retry     unix  -       -       n       -       -       error
        discard   unix  -       -       n       -       -       discard
        local     unix  -       n       n       -       -       local
        virtual   unix  -       n       n       -       -       virtual
        lmtp      unix  -       -       n       -       -       lmtp
        anvil     unix  -       -       n       -       1       anvil
        scache    unix  -       -       n       -       1       scache
        postlog   unix-dgram n  -       n       -       1       postlogd
        """

    def __init__(self, home, processes):
        super().__init__(home)
        self.etc = home / "etc"
        for folder in [self.etc, home / "queue", home / "data"]:
            folder.mkdir()
        shutil.chown(home / "data", "postfix")
        self.write("main.cf", self.MAIN.format(home=home, processes=processes))
        self.write("master.cf", self.MASTER.format(port=self.port))

    def write(self, name, text):
        lines = [line.strip() for line in text.strip().splitlines()]
        (self.etc / name).write_text("\n".join(lines) + "\n")

    def start(self):
        said = self.home / "start.log"
        with said.open("ab") as output:
            command = self.spawn(["postfix", "-c", self.etc, "start"], stdout=output, stderr=output)
            if command.wait(START_LIMIT):
                raise Failure(f"Postfix did not start: {said.read_text()[-2000:]}")
        wait_until("Postfix's greeting", lambda: greets(self.port), START_LIMIT)

    def master(self):
        return int((self.home / "queue/pid/master.pid").read_text())

    def cpu_by_process(self):
        return family_seconds(self.master())

    def stop(self):
        if (self.home / "queue/pid/master.pid").exists():
            subprocess.run(["postfix", "-c", self.etc, "stop"], capture_output=True, timeout=STOP_LIMIT)
        self.release_group()

    def put_aside(self, expected):
        """Postfix makes what its queue lacks when it starts. Every acknowledged message must be in the hold queue."""
        kept = self.aside(self.home / "queue")
        (self.home / "queue").mkdir()
        held = sum(1 for _ in os.scandir(kept / "hold"))
        if held < expected:
            raise Failure(f"Postfix holds {held} messages of {expected} that it acknowledged")
        return {"held": held}

    def version(self):
        return subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=True).stdout.strip()


class Ringpost(Server):
    """A home with the configuration and the spool; segments are written once before use, as they are in a server that has run."""

    name = "ringpost"
    process_method = "utime + stime of /proc/PID/stat"

    FILES = {
        "smtpserver.xml": """<smtpservers><smtpserver enabled="true"><jmxName>smtpserver</jmxName>
            <bind>127.0.0.1:{port}</bind><verifyIdentity>disabled</verifyIdentity><handlerchain>
            <handler class="org.apache.james.smtpserver.fastfail.ValidRcptHandler"/>
            <handler class="org.apache.james.smtpserver.CoreCmdHandlerLoader"/>
            </handlerchain></smtpserver></smtpservers>""",
        "lmtpserver.xml": """<lmtpservers></lmtpservers>""",
        "domainlist.xml": """<domainlist><autodetect>false</autodetect><autodetectIP>false</autodetectIP>
            <defaultDomain>localhost</defaultDomain><domainnames><domainname>localhost</domainname></domainnames></domainlist>""",
        "ringpost.xml": """<ringpost>
            <delivery><hold>true</hold></delivery>
            <mail><directory>{home}/var/mail</directory></mail>
            <spool><directory>{home}/var/spool</directory><segmentSize>64M</segmentSize><prepared>{prepared}</prepared>
            <maxSegments>256</maxSegments><reserve>1G</reserve></spool><log><format>text</format></log></ringpost>""",
    }

    def __init__(self, home, program, prepared):
        super().__init__(home)
        self.program, self.process = program, None
        for folder in ["conf", "var"]:
            (home / folder).mkdir()
        for name, text in self.FILES.items():
            (home / "conf" / name).write_text(text.format(home=home, port=self.port, prepared=prepared) + "\n")
        command = [program, "--conf", home / "conf", "user", "add", "--no-password", "you@localhost"]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)

    def start(self):
        self.log = self.home / f"log.{self.moved}"
        with self.log.open("wb") as log:
            command = [self.program, "--conf", self.home / "conf", "serve"]
            self.process = self.spawn(command, cwd=self.home, stdout=log, stderr=log)
        wait_until("ringpost's start", self.is_ready, START_LIMIT)
        self.refuse_ignored_settings()

    def is_ready(self):
        if self.process.poll() is not None:
            raise Failure(f"ringpost ended at its start with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        # The port opens before the segments are written; each shard tells once it has them all.
        text = self.log.read_text()
        shards = set(re.findall(r"^ +shard +(\d+) on CPU", text, re.MULTILINE))
        prepared = set(re.findall(r" spool-prepared spool=(\S+)", text))
        return bool(shards) and len(prepared) >= len(shards) and greets(self.port)

    def refuse_ignored_settings(self):
        """A setting that the program does not know would compare two servers that do different work."""
        ignored = [line for line in self.log.read_text().splitlines() if "has no effect" in line]
        if ignored:
            raise Failure(f"ringpost ignores what the comparison needs: {ignored[0]}")

    def cpu_by_process(self):
        return process_seconds(self.process.pid)

    def stop(self):
        if self.process is None:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"ringpost did not end within {STOP_LIMIT} s of SIGTERM") from None
        finally:
            self.release_group()
        if status:
            raise Failure(f"ringpost ended with {status} at SIGTERM: {self.log.read_text()[-2000:]}")

    def put_aside(self, expected):
        """A message in a Maildir means that ringpost did other work than Postfix."""
        kept = self.aside(self.home / "var")
        (self.home / "var").mkdir()
        delivered = sum(len(files) for _, _, files in os.walk(kept / "mail"))
        if delivered:
            raise Failure(f"ringpost delivered {delivered} messages instead of holding them")
        return {"segments": sum(name.startswith("segment-") for _, _, files in os.walk(kept / "spool") for name in files)}

    def version(self):
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


# --- a round ----------------------------------------------------------------------------------------------------------


def load(options, server, end, json_path):
    """Runs the source to its end and returns its figures."""
    command = [options.loadtest, "source", "--to", f"127.0.0.1:{server.port}", "--sessions", str(options.sessions)]
    command += ["--size", str(options.size), "--messages-per-connection", str(options.messages_per_connection)]
    command += ["--json", json_path, "--quiet", *end]
    command += [] if options.pace == "stepwise" else [f"--{options.pace}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"load on {server.name}: {done.stderr.strip()} {json_path.read_text() if json_path.exists() else ''}")
    figures = json.loads(json_path.read_text())
    json_path.unlink()
    return figures


def turn(options, server, work):
    """One server in one round: its figures."""
    server.start()
    try:
        warm = load(options, server, ["--messages", str(options.warm_up)], work / "source.json")
        (busy_before, steal_before), cpu_before, by_process_before = machine_seconds(), server.cpu(), server.cpu_by_process()
        begin = time.monotonic()
        source = load(options, server, ["--duration", str(options.seconds)], work / "source.json")
        (busy_after, steal_after), cpu = machine_seconds(), server.cpu() - cpu_before
        by_process = server.cpu_by_process() - by_process_before
        capacity = (time.monotonic() - begin) * os.cpu_count()
        method = server.cpu_method()
    finally:
        server.stop()
    others = max(0.0, busy_after - busy_before - cpu - source["source_cpu_s"]) + steal_after - steal_before
    figures = {
        "messages": source["acknowledged"],
        "messages_per_s": source["messages_per_s"],
        "cpu_s_per_10k": cpu * 10_000 / source["acknowledged"],
        "p50_ms": source["latency_ms"]["p50"],
        "p99_ms": source["latency_ms"]["p99"],
        "others": others / capacity,
        "cpu_method": method,
        "cpu_s_per_10k_by_process": by_process * 10_000 / source["acknowledged"],
        "source": source,
    }
    figures |= server.put_aside(warm["acknowledged"] + source["acknowledged"])
    # What is still to be written back must not fall into the other server's turn.
    os.sync()
    time.sleep(options.pause)
    return figures


def rounds(options, servers, work):
    results = {server.name: [] for server in servers}
    print(HEAD)
    for number in range(options.rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            figures = turn(options, server, work)
            results[server.name].append(figures)
            print(row(f"{number}{' (warm-up)' if number == 0 else ''}", server.name, figures), flush=True)
            if server.name == "ringpost":
                warn_if_beyond_prepared(options, figures)
    return results


def warn_if_beyond_prepared(options, figures):
    octets = (figures["messages"] + options.warm_up) * (options.size + 1024)
    if octets > options.prepared * SEGMENT * os.cpu_count():
        print(f"  the round's {octets >> 20} MiB may have gone beyond the prepared segments: raise --prepared")


# --- the report -------------------------------------------------------------------------------------------------------

COLUMNS = [("messages_per_s", "msgs/s", "{:.0f}"), ("cpu_s_per_10k", "CPU s/10k", "{:.2f}"), ("p50_ms", "p50 ms", "{:.2f}"),
           ("p99_ms", "p99 ms", "{:.2f}"), ("others", "others", "{:.2f}")]
HEAD = f"\n{'round':<14}{'server':<10}" + "".join(f"{title:>24}" for _, title, _ in COLUMNS)


def row(label, name, figures):
    return f"{label:<14}{name:<10}" + "".join(f"{form.format(figures[key]):>24}" for key, _, form in COLUMNS)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(results):
    """Medians, least and most of each figure over the rounds after the first, and ringpost's median over Postfix's."""
    summary = {name: {key: spread([figures[key] for figures in turns[1:]]) for key, _, _ in COLUMNS} for name, turns in results.items()}
    if len(summary) == 2:
        mine, theirs = summary["ringpost"], summary["postfix"]
        summary["ratio"] = {key: mine[key]["median"] / theirs[key]["median"] if theirs[key]["median"] else None
                            for key, _, _ in COLUMNS if key != "others"}
    return summary


def print_summary(summary, results):
    print(HEAD)
    for name in results:
        cells = {key: "{} ({}–{})".format(*(form.format(summary[name][key][part]) for part in ["median", "min", "max"]))
                 for key, _, form in COLUMNS}
        print(f"{'median':<14}{name:<10}" + "".join(f"{cells[key]:>24}" for key, _, _ in COLUMNS))
    if "ratio" in summary:
        ratios = [summary["ratio"].get(key) for key, _, _ in COLUMNS]
        print(f"{'ringpost/Postfix':<24}" + "".join(f"{'' if ratio is None else f'{ratio:.3f}':>24}" for ratio in ratios))
    for name, turns in results.items():
        print(f"CPU of {name} by {turns[-1]['cpu_method']}")


# --- what it takes ----------------------------------------------------------------------------------------------------


def install_postfix():
    """Installs the Debian package without letting it start a service."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        command = ["apt-get", "install", "-y", "--no-install-recommends", "postfix"]
        if subprocess.run(command, env=environment, stdout=sys.stderr).returncode:
            raise Failure("apt-get install postfix failed")
    finally:
        if ours:
            policy.unlink()


def file_system(folder):
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((pair for pair in mounts if folder.is_relative_to(pair[0])), key=lambda pair: len(pair[0]))[1]


def check(options):
    if os.geteuid():
        raise Failure("Postfix's master must be started by root")
    needed = [options.loadtest] + ([options.ringpost] if "ringpost" in options.servers else [])
    for program in needed:
        if not os.access(program, os.X_OK):
            raise Failure(f"{program} is not there: cargo build --release --workspace")
    if "postfix" in options.servers and not shutil.which("postfix"):
        if not options.install:
            raise Failure("Postfix is not installed: apt-get install postfix, or run this with --install")
        install_postfix()
    free = shutil.disk_usage(options.work).free
    most = options.rounds * (options.prepared + 2) * SEGMENT * os.cpu_count() + (4 << 30)
    if free < most:
        raise Failure(f"{most >> 30} GiB may be needed in {options.work}, and {free >> 30} are free: lower --prepared or --rounds")
    if file_system(options.work.resolve()) in ("tmpfs", "ramfs"):
        raise Failure(f"{options.work} is no disk, so syncing would cost nothing: choose another --work")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    number = {"type": int}
    parser.add_argument("ringpost", nargs="?", type=Path, default=ROOT / "target/release/ringpost", help="program to compare")
    parser.add_argument("--loadtest", type=Path, default=ROOT / "target/release/loadtest", help="load source")
    parser.add_argument("--rounds", **number, default=5, help="rounds, the first of which only warms up (default 5)")
    parser.add_argument("--seconds", type=float, default=5, help="load on each server in each round (default 5)")
    parser.add_argument("--warm-up", **number, default=2000, help="messages before each measurement (default 2000)")
    parser.add_argument("--sessions", **number, default=10)
    parser.add_argument("--size", **number, default=4096, help="octets of a message (default 4096)")
    parser.add_argument("--pace", choices=["stepwise", "group", "pipelining"], default="stepwise")
    parser.add_argument("--messages-per-connection", **number, default=0)
    parser.add_argument("--prepared", **number, default=8, help="segments written beforehand, a shard (default 8)")
    parser.add_argument("--processes", **number, default=100, help="Postfix's default_process_limit (default 100)")
    parser.add_argument("--pause", type=float, default=2, help="seconds between the turns (default 2)")
    parser.add_argument("--work", type=Path, default=Path("/var/tmp"), help="folder on the disk to be measured (default /var/tmp)")
    parser.add_argument("--json", type=Path, default=Path("compare-postfix.json"), help="file for all figures")
    parser.add_argument("--only", choices=["postfix", "ringpost"], help="measure one of the two, to try the set-up out")
    parser.add_argument("--install", action="store_true", help="install Postfix if it is not there, without starting it")
    parser.add_argument("--keep", action="store_true", help="keep configuration, logs and queues")
    options = parser.parse_args()
    options.servers = [options.only] if options.only else ["postfix", "ringpost"]
    options.ringpost, options.loadtest = options.ringpost.resolve(), options.loadtest.resolve()
    if options.rounds < 2:
        parser.error("--rounds: at least 2, for the first only warms up")
    return options


def compare(options, work):
    make = {
        "postfix": lambda: Postfix(work / "postfix", options.processes),
        "ringpost": lambda: Ringpost(work / "ringpost", options.ringpost, options.prepared),
    }
    servers = [make[name]() for name in options.servers]
    versions = {server.name: server.version() for server in servers}
    setting = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    print(f"{options.sessions} sessions, {options.size} octets, {options.pace}, {options.seconds} s a turn; {versions}")
    try:
        results = rounds(options, servers, work)
    finally:
        for server in servers:
            with contextlib.suppress(Failure):
                server.stop()
    summary = summarise(results)
    print_summary(summary, results)
    report = {"setting": setting, "versions": versions, "kernel": os.uname().release, "rounds": results, "summary": summary}
    options.json.write_text(json.dumps(report, indent=1) + "\n")


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check(options)
        work = Path(tempfile.mkdtemp(prefix="compare-postfix.", dir=options.work)).resolve()
        work.chmod(0o755)
        try:
            compare(options, work)
        finally:
            if options.keep:
                print(f"kept: {work}")
            else:
                shutil.rmtree(work, ignore_errors=True)
    except Failure as failure:
        sys.exit(f"compare-postfix: {failure}")


if __name__ == "__main__":
    main()
