"""Commands as people read and type them: found in the code blocks of a page, run by bash in a fresh directory.

In: Markdown; commands. Out: results. A command is run as it stands, after two substitutions that
keep tests of one machine out of each other's way:

- every port number that the page names (``Place.ports``) becomes a port that was free;
- a ``sprawlctl`` without ``-n`` is given its default, ``-n http://localhost:8080``, so that there is
  a port to substitute.

Programs without an address on their command line are told it by variables (``environment``).
"""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from tests.unit.node.free_ports import free_ports

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30
"""For one command, on a machine that is busy with other tests."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#.*$")
_CTL_WITHOUT_NODE = re.compile(r"\bsprawlctl(?=\s)(?!.*\s-n\s)")


def blocks_of(markdown: str, language: str) -> list[str]:
    """The code blocks of one language; raises ValueError for a block that names none."""
    blocks = _FENCE.findall(markdown)
    if any(not named for named, _ in blocks):
        raise ValueError("a code block names no language, so nobody knows what runs it")
    return [text for named, text in blocks if named == language]


def commands_of(markdown: str) -> list[str]:
    """Each command once, in order: comments off, continued lines joined, blanks made single."""
    lines = "\n".join(blocks_of(markdown, "bash")).replace("\\\n", " ").splitlines()
    commands = (" ".join(_COMMENT.sub("", line).split()) for line in lines)
    return list(dict.fromkeys(command for command in commands if command))


def eventually(found: Callable[[], T | None], what: str, seconds: float = DEADLINE_S) -> T:
    """What ``found`` returns once that is true; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Running:
    """A command that runs, in a process group of its own, its output in two files."""

    def __init__(self, command: str, place: "Place", environment: Mapping[str, str]) -> None:
        self.command = command
        number = len(list(place.outputs.iterdir()))
        self._files = [place.outputs / f"{number}.{name}" for name in ("stdout", "stderr")]
        with self._files[0].open("wb") as stdout, self._files[1].open("wb") as stderr:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=place.directory,
                env={**place.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    @property
    def stdout(self) -> str:
        return self._files[0].read_text()

    @property
    def stderr(self) -> str:
        return self._files[1].read_text()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def until(self, found: Callable[[], T | None], what: str) -> T:
        """As ``eventually``, but a command that ends before fails the test at once."""

        def found_or_ended() -> T | None:
            is_over = self.has_ended
            value = found()
            if is_over and not value:
                pytest.fail(f"{self.command} ended before {what}: {self.stdout}{self.stderr}")
            return value

        return eventually(found_or_ended, f"{what} of {self.command}")

    def ended(self, seconds: float = DEADLINE_S) -> Result:
        """Waits for the end."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.close()
            pytest.fail(f"{self.command} runs after {seconds} s: {self.stdout}{self.stderr}")
        return Result(status, self.stdout, self.stderr)

    def interrupted(self) -> Result:
        """Ctrl-C: SIGINT to all of its processes, and the end."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.ended()

    def close(self) -> None:
        """Ends what still runs."""
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Place:
    """A fresh directory that holds ``scripts``, with ``sprawl`` and ``sprawlctl`` where asked."""

    def __init__(self, folder: Path, ports: Iterable[int], *, linked_in: str | None = None) -> None:
        """``linked_in``: the folder that holds the two programs, on PATH when not given."""
        self.directory = folder / "here"
        self.outputs = folder / "outputs"
        tools = folder / "tools"
        for made in (self.directory, self.outputs, tools):
            made.mkdir()
        (self.directory / "scripts").symlink_to(ROOT / "scripts")
        self._link_programs(tools if linked_in is None else self.directory / linked_in)
        if shutil.which("jq") is None:
            (tools / "jq").write_text("#!/bin/sh\nexec python3 -m json.tool\n")
            (tools / "jq").chmod(0o755)
        named = list(ports)
        self.ports = dict(zip(named, free_ports(len(named)), strict=True))
        ours = ("SPRAWL_", "MINIO_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.environment = {**kept, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self._running: list[Running] = []

    @staticmethod
    def _link_programs(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("sprawl", "sprawlctl"):
            program = Path(sysconfig.get_path("scripts")) / name
            assert program.exists(), f"{program} is not installed"
            (folder / name).symlink_to(program)

    def substituted(self, command: str) -> str:
        """The command with this place's ports; see the module."""
        spelled = _CTL_WITHOUT_NODE.sub("sprawlctl -n http://localhost:8080", command)
        numbers = "|".join(map(str, self.ports))
        return re.sub(
            rf"(?<!\d)({numbers})(?!\d)", lambda found: str(self.ports[int(found[1])]), spelled
        )

    def start(self, command: str, **environment: str) -> Running:
        """Starts a command and returns at once."""
        running = Running(self.substituted(command), self, environment)
        self._running.append(running)
        return running

    def run(self, command: str, seconds: float = DEADLINE_S, **environment: str) -> Result:
        """Runs a command to its end."""
        return self.start(command, **environment).ended(seconds)

    def start_node(self, command: str, http: int, **environment: str) -> Running:
        """Starts a node and returns when ``/health`` of the port ``http`` answers 200."""
        node = self.start(command, **environment)

        def is_healthy() -> bool:
            try:
                return httpx.get(f"{self.url(http)}/health", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        node.until(is_healthy, "the first answer of /health")
        return node

    def url(self, port: int) -> str:
        """Of the port that stands for the page's ``port``."""
        return f"http://localhost:{self.ports[port]}"

    def close(self) -> None:
        """Ends everything that was started here."""
        for running in self._running:
            running.close()
