"""A real node: its own process, free ports, a fresh directory."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.contract.tier_calls import START, Start
from tests.faults.node import NodeProcess
from tests.ports import free_port

START_TIMEOUT_S = 20


@dataclass(frozen=True)
class RunningNode:
    """A node that is ready; ``log`` is the file of its standard error."""

    url: str
    health_url: str
    port: int
    log: Path


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/ready", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            # Not listening yet; the process is watched, so this ends.
            time.sleep(0.02)
    pytest.fail(f"the node is not ready: {log.read_text()}")


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    log = folder / "node.log"
    http, health, bind = free_port(), free_port(), free_port()
    command = [sys.executable, "-c", "from sprawl.cli.node import main; raise SystemExit(main())"]
    command += ["-httpAddr=127.0.0.1", f"-httpPort={http}"]
    command += ["-bindAddr=127.0.0.1", f"-bindPort={bind}"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "SPRAWL_HEALTH_PORT": str(health)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    url = f"http://127.0.0.1:{http}"
    try:
        _until_ready(url, process, log)
        yield RunningNode(url, f"http://127.0.0.1:{health}", http, log)
        process.terminate()
        assert process.wait(15) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def http(node: RunningNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.url, timeout=10) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a node with settings; it is gone after the test."""
    nodes: list[NodeProcess] = []

    def begin(**settings: str) -> NodeProcess:
        node = NodeProcess(tmp_path / "data", tmp_path / "log", START | settings)
        nodes.append(node)
        node.start()
        return node

    yield begin
    for node in nodes:
        node.close()
