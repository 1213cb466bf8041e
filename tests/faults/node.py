"""A node that is killed and started again: its own process, fixed ports, a directory that stays.

In: a directory, settings for its environment. Out: a ``NodeProcess``. Invariants: ``start`` returns when the
node is ready or raises with what it wrote; ``close`` leaves no process; only the process that was
started here is ever signalled. ``program`` is the product, or one of the files here that stand for
it; with ``planted`` the node has one of the defects of ``planted.py``.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from tests.ports import free_port

READY_S: Final = 20
_ROOT: Final = Path(__file__).resolve().parents[2]
_PROGRAMS: Final = {
    "sprawl": ["-c", "from sprawl.cli.node import main; raise SystemExit(main())"],
    # The janitor comes every second, not every hour.
    "brisk": [
        "-c",
        (
            "from sprawl.log.cloud import mover; mover.JANITOR_INTERVAL_S = 1; "
            "from sprawl.cli.node import main; raise SystemExit(main())"
        ),
    ],
    # Dies when the manifest records of a move are durable and nothing that follows from them is.
    "half-recorded": ["-m", "tests.faults.half_recorded"],
    "planted": ["-m", "tests.faults.planted_node"],
    "model": ["-m", "tests.faults.model_node"],
}


class StartFailed(Exception):
    """The node ended before it was ready; ``status`` is its exit status, ``text`` what it wrote."""

    def __init__(self, status: int | None, text: str) -> None:
        super().__init__(f"exit status {status}: {text[-2_000:]}")
        self.status = status
        self.text = text


class NodeProcess:
    """One node over its lives; use it as a context manager."""

    name: Final = "node"

    def __init__(
        self,
        directory: Path,
        log: Path,
        settings: Mapping[str, str] | None = None,
        program: str = "sprawl",
        planted: str = "",
    ) -> None:
        self.directory: Final = directory
        self.log: Final = log
        self.port: Final = free_port()
        # Of the next start.
        self.settings: Final = dict(settings or {})
        # Of the next start, too.
        self.program = program
        self._planted = planted
        self._bind_port = free_port()
        self._health_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_s: float = 0

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_running(self) -> bool:
        """True from ``start`` until the process has ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it; raises StartFailed when it ends, or is not ready within ``READY_S``."""
        began = self.log.stat().st_size if self.log.exists() else 0
        begin = time.monotonic()
        process = self.spawn()
        while time.monotonic() < begin + READY_S:
            if process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/ready", timeout=1).status_code == 200:
                    self.ready_s = time.monotonic() - begin
                    return
            except httpx.TransportError:
                # Not listening yet; the process is watched, so this ends.
                time.sleep(0.02)
        status = process.poll()
        self.kill()
        raise StartFailed(status, self.log.read_bytes()[began:].decode("utf-8", "replace"))

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts it and does not wait."""
        assert not self.is_running()
        command = [sys.executable, *_PROGRAMS[self.program]]
        command += ["-httpAddr=127.0.0.1", f"-httpPort={self.port}"]
        command += ["-bindAddr=127.0.0.1", f"-bindPort={self._bind_port}"]
        command += [f"-diskStoragePath={self.directory}"]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
        kept |= self.settings
        kept |= {"SPRAWL_HEALTH_PORT": str(self._health_port), "PLANTED_BUG": self._planted}
        with self.log.open("ab") as stderr:
            self._process = process = subprocess.Popen(
                command, cwd=_ROOT, env=kept, stdout=subprocess.DEVNULL, stderr=stderr
            )
        return process

    def kill(self) -> None:
        """SIGKILL; the process is gone on return."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(READY_S)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(READY_S)

    def wait(self, timeout_s: float) -> int:
        """Its exit status, when it ends by itself within the time."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Ends it, if it runs."""
        if self.is_running():
            self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
