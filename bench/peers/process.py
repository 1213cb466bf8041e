"""A server under measurement: started on one core, watched through ``/proc``, ended by its own pid.

In: a command, its environment, a readiness check. Out: processor time, memory (PSS, RSS) of the whole
process tree. Linux only, as is the measuring.
"""

import os
import resource
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

START_S_MAX = 15.0
STOP_S_MAX = 10.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """A server ended, or did not answer, before its deadline; the text carries the end of its log."""


@dataclass(frozen=True)
class Launch:
    """How to start a server: ``ready()`` is asked until it says yes."""

    command: Sequence[str]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    #: Runs once after the server is ready, for example to create a stream.
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class CpuTime:
    """Processor seconds used so far by a process tree."""

    user_s: float
    system_s: float

    def since(self, before: "CpuTime") -> "CpuTime":
        return CpuTime(self.user_s - before.user_s, self.system_s - before.system_s)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody accepts on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers_200(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Children started inside run on ``core`` and may open many sockets: they inherit both from here."""
    before = os.sched_getaffinity(0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server:
    """A running server; a context manager that stops it."""

    def __init__(self, launch: Launch, workdir: Path, core: int) -> None:
        self.launch = launch
        self.log = workdir / "server.log"
        ours = ("SPRAWL_", "GOMAXPROCS")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        began = time.perf_counter()
        with self.log.open("wb") as log, on_core(core):
            self.process = subprocess.Popen(
                list(launch.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=workdir,
                env={**inherited, **launch.env},
                start_new_session=True,
            )
        try:
            self.wait(began)
            #: Seconds from the start of the process to the first yes.
            self.ready_s = time.perf_counter() - began
            launch.prepare()
        except BaseException:
            self.stop()
            raise

    @property
    def line(self) -> str:
        """The command with the variables set for it, as typed in a shell; its directory is ``DIR``."""
        variables = [f"{name}={value}" for name, value in self.launch.env.items()]
        return " ".join([*variables, *self.launch.command]).replace(str(self.log.parent), "DIR")

    def wait(self, began: float) -> None:
        """Returns when the server is ready; raises ``NotReady``. Asks every millisecond."""
        name = self.launch.command[0]
        while not self.launch.ready():
            if self.process.poll() is not None:
                raise NotReady(f"{name} ended with {self.process.returncode}: {self.tail()}")
            if time.perf_counter() - began > START_S_MAX:
                raise NotReady(f"{name} not ready within {START_S_MAX} s: {self.tail()}")
            time.sleep(0.001)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def tail(self) -> str:
        """The last lines of the server's output."""
        return self.log.read_text(errors="replace")[-600:]

    def stop(self) -> None:
        """Ends the server: SIGTERM, and SIGKILL when it stays. Returns when its session is gone."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tree(self) -> list[int]:
        """Pids of the server and all its descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue += children.get(pid, [])
        return found

    def cpu(self) -> CpuTime:
        """Processor time of the tree so far (10 ms steps)."""
        stats = [fields for pid in self.tree() if (fields := stat_fields(pid))]
        return CpuTime(
            sum(int(fields[11]) for fields in stats) * TICK_S,
            sum(int(fields[12]) for fields in stats) * TICK_S,
        )

    def pss_bytes(self) -> int:
        """Proportional set size of the tree: pages shared between its processes count once."""
        return sum(memory_bytes(pid, "smaps_rollup", "Pss:") for pid in self.tree())

    def rss_bytes(self) -> int:
        """Resident set size of the first process alone."""
        return memory_bytes(self.process.pid, "status", "VmRSS:")


def stat_fields(pid: int) -> list[str]:
    """``/proc/<pid>/stat`` from the state on (index 0 = field 3); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def memory_bytes(pid: int, file: str, label: str) -> int:
    """One ``kB`` line of a ``/proc`` file in bytes; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(label):
            return int(line.split()[1]) * 1024
    return 0
