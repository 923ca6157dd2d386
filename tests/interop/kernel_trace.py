"""What a process asks of its sockets and of its rings, in order, as the kernel itself notes it (tracefs)."""

import contextlib
import os
import re
import time
from collections import namedtuple
from pathlib import Path

TRACEFS = Path("/sys/kernel/tracing")

EVENTS = (
    "syscalls/sys_enter_recvfrom",
    "syscalls/sys_exit_recvfrom",
    "syscalls/sys_enter_sendto",
    "syscalls/sys_enter_sendmsg",
    "io_uring/io_uring_submit_req",
    "io_uring/io_uring_complete",
)

# KiB for each CPU; what does not fit is counted by the kernel, and then the trace is not believed.
BUFFER = 16384

# Task, place in the order of all events, name, and what it says, by name.
Event = namedtuple("Event", "task place name fields")

LINE = re.compile(r"\s*.*?-(\d+)\s+\[\d+\]\s+\S+\s+\d+\.\d+: (\w+)(?:: (.*)|(\(.*)| -> (0x[0-9a-f]+))\s*")


def why_not():
    """Why this cannot be had here; None where it can."""
    if os.geteuid() != 0:
        return "only root may look at the kernel's trace"
    if not (TRACEFS / "instances").is_dir():
        return f"{TRACEFS} is not mounted (mount -t tracefs none {TRACEFS})"
    for event in EVENTS:
        if not (TRACEFS / "events" / event).is_dir():
            return f"this kernel has no event {event}"
    return None


def parse(text):
    """The events of a trace as the kernel writes it: in their order, which it knows to the nanosecond."""
    events = []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise AssertionError(f"a line of the trace that is not understood: {line!r}")
        task, name, said, arguments, result = match.groups()
        fields = {"ret": result} if result else dict(re.findall(r"(\w+)[: ]+([^,() ]+)", said or arguments))
        events.append(Event(int(task), len(events), name, fields))
    return events


class Trace:
    """Use it in a with statement; `tasks` are the threads whose system calls are noted. Rings are noted of all processes."""

    def __init__(self, tasks):
        self.tasks = list(tasks)
        self.instance = TRACEFS / "instances" / f"ringpost-{os.getpid()}"

    def __enter__(self):
        self.instance.mkdir()
        try:
            self._write("trace_clock", "mono")
            self._write("buffer_size_kb", str(BUFFER))
            for event in EVENTS:
                if event.startswith("syscalls/"):
                    condition = "||".join(f"common_pid=={task}" for task in self.tasks)
                    self._write(f"events/{event}/filter", condition)
                self._write(f"events/{event}/enable", "1")
        except OSError:
            self.__exit__()
            raise
        return self

    def _write(self, name, text):
        (self.instance / name).write_text(text)

    def __exit__(self, *_):
        for event in EVENTS:
            with contextlib.suppress(OSError):
                self._write(f"events/{event}/enable", "0")
        # The kernel lets go of it when the last event has been noted.
        for _ in range(50):
            try:
                self.instance.rmdir()
                return
            except OSError:
                time.sleep(0.1)

    def events(self):
        """All events so far, in order."""
        self._write("tracing_on", "0")
        for cpu in (self.instance / "per_cpu").iterdir():
            figures = (cpu / "stats").read_text()
            for what in ("overrun", "dropped events"):
                if int(re.search(rf"^{what}: (\d+)", figures, re.M)[1]):
                    raise AssertionError(f"the trace has lost events on {cpu.name}:\n{figures}")
        return parse((self.instance / "trace").read_text())
