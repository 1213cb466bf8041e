"""Commands as people type them: found in the code blocks of a page, run by bash in a directory.

In: Markdown; commands. Out: results. A command is run as it stands, after substitutions that keep
tests of one machine out of each other's way and need nothing beyond bash and curl:

- every port number that the page names (``Place.ports``) becomes a port that was free;
- a ``sprawlctl`` that asks a node and has no ``-n`` is given its default, ``-n http://localhost:8080``, so that there
  is a port to substitute;
- where jq is not installed, ``| jq`` is ``| python3 -m json.tool``.

Programs without an address on their command line are told it by variables (``environment``).
"""

import contextlib
import os
import pty
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
from _pytest.mark import ParameterSet

from tests.unit.node.free_ports import free_ports

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30
"""For one command, on a machine that is busy with other tests."""

_OURS = ("SPRAWL_", "MINIO_")
_KEPT = "SPRAWL_BUILD_PROFILE"
"""Variables of nodes are not inherited; the one of the build is, so that nothing is built anew."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CURL = re.compile(r"\bcurl\b|verify-tiering")
_COMMENT = re.compile(r"(^|\s)#.*$")
_CTL_WITHOUT_NODE = re.compile(
    r"\bsprawlctl(?=\s)(?!\s+tier\s+(?:verify|restore|query)\b)(?!.*\s-n\s)"
)


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


def with_needs(commands: Iterable[str]) -> list[ParameterSet]:
    """Parameters of a test, each command that calls curl with its need."""
    needs_curl = pytest.mark.needs("curl")
    return [
        pytest.param(command, id=command, marks=[needs_curl] if _CURL.search(command) else [])
        for command in commands
    ]


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

    def shown(self) -> str:
        """All that it has written, to whichever stream."""
        return self.stdout + self.stderr

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def until_shown(self, text: str) -> str:
        """Waits until the text has been written; all that was written by then."""
        return self.until(lambda: self.shown() if text in self.shown() else None, repr(text))

    def until(self, found: Callable[[], T | None], what: str) -> T:
        """What ``found`` returns once that is true; fails when it ends or time is up."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            is_over = self.has_ended or time.monotonic() > deadline
            if value := found():
                return value
            if is_over:
                pytest.fail(f"{self.command}: not seen, {what}, in: {self.shown()}")
            time.sleep(0.02)

    def ended(self, seconds: float = DEADLINE_S) -> Result:
        """Waits for the end."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            shown = self.shown()
            self.close()
            pytest.fail(f"{self.command} runs after {seconds} s: {shown}")
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


class Terminal(Running):
    """A command whose output is a terminal."""

    def __init__(self, command: str, place: "Place", environment: Mapping[str, str]) -> None:
        self._reader, self._writer = pty.openpty()
        os.set_blocking(self._reader, False)
        self._read = b""
        self._is_closed = False
        super().__init__(f"{command} >{os.ttyname(self._writer)} 2>&1", place, environment)

    def shown(self) -> str:
        """All that it has written, with the line ends of a file."""
        with contextlib.suppress(BlockingIOError):
            self._read += os.read(self._reader, 65_536)
        return self._read.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        super().close()
        if not self._is_closed:
            self._is_closed = True
            os.close(self._reader)
            os.close(self._writer)


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
        self.link_programs(tools if linked_in is None else self.directory / linked_in)
        named = list(ports)
        self.ports = dict(zip(named, free_ports(len(named)), strict=True))
        kept = {k: v for k, v in os.environ.items() if k == _KEPT or not k.startswith(_OURS)}
        self.environment = {**kept, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
        self._running: list[Running] = []

    @staticmethod
    def link_programs(folder: Path) -> None:
        """Makes links named ``sprawl`` and ``sprawlctl`` to the installed commands."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("sprawl", "sprawlctl"):
            program = Path(sysconfig.get_path("scripts")) / name
            assert program.exists(), f"{program} is not installed"
            (folder / name).symlink_to(program)

    def substituted(self, command: str) -> str:
        """The command with this place's ports; see the module."""
        if shutil.which("jq") is None:
            command = command.replace("| jq", "| python3 -m json.tool")
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

    def start_on_terminal(self, command: str, **environment: str) -> Terminal:
        """Starts a command as ``start`` does, its output on a terminal."""
        running = Terminal(self.substituted(command), self, environment)
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
