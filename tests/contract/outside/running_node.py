"""A real ``sprawl`` process with ports of its own, as the contract tests start and measure it.

In: flags and variables. Out: a node that answers, its ports, its memory, its end. Invariants: return
from ``start`` means that ``/health`` was answered; ``close`` leaves no process behind; waiting is for
a condition, bounded by a deadline.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from tests.unit.node.free_ports import free_ports

START_S_MAX: Final = 20
"""Seconds a node may take to its first answer on a machine that is busy with tests."""


def until(holds: Callable[[], object], what: str, timeout_s: float = 10) -> None:
    """Returns once ``holds()`` is true; an AssertionError naming ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)


class RunningNode:
    """One process; its directory may be given to the next one."""

    def __init__(self, directory: Path, *flags: str, **environment: str) -> None:
        self.directory = directory
        self._flags = flags
        self._environment = environment
        self.log_path = directory / "node.log"

    def start(self) -> "RunningNode":
        """Starts the process on fresh ports and returns once it answers."""
        self.bind_port, self.port, self.health_port = free_ports(3)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
        path = os.pathsep.join(p for p in sys.path if p)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "sprawl.cli.node",
                    "-bindAddr=127.0.0.1",
                    "-httpAddr=127.0.0.1",
                    f"-bindPort={self.bind_port}",
                    f"-httpPort={self.port}",
                    f"-healthPort={self.health_port}",
                    *self._flags,
                ],
                cwd=self.directory,
                env=kept | {"PYTHONPATH": path} | self._environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            until(self._answers, "first answer of /health", START_S_MAX)
        except BaseException:
            self.close()
            raise
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"the node ended at once: {self.log}"
        try:
            self.get("/health")
        except OSError:
            return False
        return True

    @property
    def log(self) -> str:
        """Everything the node wrote to stderr."""
        return self.log_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        """The origin of the HTTP port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process now, its own: pages of mapped files are the kernel's to take back."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        own = [
            line.split()
            for line in status.splitlines()
            if line.startswith(("RssAnon:", "RssShmem:"))
        ]
        assert len(own) == 2, "no RssAnon: the process is gone"
        return sum(int(fields[1]) for fields in own) * 1024

    def get(self, path: str) -> Any:
        """The JSON answer of one GET on the HTTP port."""
        with urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes, content_type: str = "text/plain") -> Any:
        """The JSON answer of one POST on the HTTP port."""
        request = Request(self.url + path, body, {"Content-Type": content_type})
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def fill(self, topic: str, count: int, payload: str = "x") -> None:
        """Publishes ``count`` messages whose payloads are ``payload`` and their number."""
        for first in range(0, count, 5_000):
            numbers = range(first, min(first + 5_000, count))
            messages = [{"payload": f"{payload}{n}"} for n in numbers]
            body = json.dumps({"messages": messages}).encode()
            answer = self.post(
                f"/v1/topics/{topic}/messages", body, "application/vnd.sprawl.messages+json"
            )
            refused = [result for result in answer["results"] if "offset" not in result]
            assert not refused, refused[0]

    def stored(self) -> int:
        """Messages that the node has stored since its start."""
        stored: int = self.get("/metrics")["store"]["messages_stored"]
        return stored

    def stop(self, timeout_s: float) -> int:
        """SIGTERM; the exit status, an AssertionError when it takes longer than ``timeout_s``."""
        self.process.send_signal(signal.SIGTERM)
        until(lambda: self.process.poll() is not None, "end after SIGTERM", timeout_s)
        return self.process.wait()

    def kill(self) -> None:
        """Kill -9; returns when the process is gone."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Leaves no process behind."""
        if self.process.poll() is None:
            self.kill()
