"""Start and stop of the real node, as a user meets them.

Everything around the rooms (refusals, exit statuses, port owners) is in ``tests/unit/cli``; here the
compiled rooms are in their place.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.unit.node.free_ports import free_ports

Running = subprocess.Popen[str]

START_S_MAX = 20
"""Ten nodes at once on one host answer within 30 s; one, on a machine busy with tests, within this."""


class House:
    """Starts nodes in one fresh directory and ends them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[Running] = []

    def start(self, *argv: str, **environment: str) -> Running:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SPRAWL_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "sprawl.cli.node", *argv],
            cwd=self._directory,
            env=kept | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def get(port: int, path: str) -> dict[str, object]:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        members: dict[str, object] = json.load(answer)
        return members


def await_health(process: Running, port: int) -> None:
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            get(port, "/health")
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"no /health on port {port}; exit status {process.poll()}")


def test_a_node_by_the_readmes_flags_answers_and_stops_with_0(house: House) -> None:
    bind, http, health = free_ports(3)
    node = house.start(
        "-bindAddr=127.0.0.1",
        f"-bindPort={bind}",
        f"-httpPort={http}",
        SPRAWL_HEALTH_PORT=str(health),
    )
    await_health(node, http)
    for port in (http, health):
        assert get(port, "/health")["status"] in ("ok", "warning")
        assert get(port, "/ready")["status"] == "ready"
    status = get(http, "/status")
    assert (status["http_port"], status["bind_port"]) == (http, bind)
    assert (status["health_port"], status["is_leader"]) == (health, True)

    publish = Request(f"http://127.0.0.1:{http}/publish", b'{"topic":"t","payload":"hello"}')
    with urlopen(publish, timeout=5) as answer:
        receipt = json.load(answer)
    assert receipt["durability"]["reached"] == "disk"
    (message,) = get(http, "/v1/topics/t/messages")["messages"]  # type: ignore[misc]
    assert message["payload"] == "hello"

    node.send_signal(signal.SIGTERM)
    _, err = node.communicate(timeout=2)
    assert node.returncode == 0
    assert f"HTTP server listening on 0.0.0.0:{http}\n" in err
    assert "Became leader for term 1" in err


def test_two_nodes_live_beside_each_other_and_a_third_is_told_who_has_its_port(
    house: House,
) -> None:
    ports = [free_ports(3) for _ in range(2)]
    nodes = [
        house.start(f"-bindPort={b}", f"-httpPort={h}", f"-healthPort={e}", "-httpAddr=127.0.0.1")
        for b, h, e in ports
    ]
    for node, (_, http, _) in zip(nodes, ports, strict=True):
        await_health(node, http)
    ids = {get(http, "/status")["node_id"] for _, http, _ in ports}
    assert len(ids) == 2

    _, _, taken = ports[0]
    third = house.start(f"-httpPort={taken}", "-httpAddr=127.0.0.1")
    _, err = third.communicate(timeout=START_S_MAX)
    assert third.returncode == 1
    owner = str(get(ports[0][1], "/status")["node_id"])[:8]
    assert err == (
        f"Failed to bind to port {taken}: address already in use; port {taken} is the health port "
        f"of node {owner} (pid {nodes[0].pid}); choose another with -httpPort\n"
    )


def test_an_identity_outlives_a_kill(house: House) -> None:
    bind, http = free_ports(2)
    argv = (f"-bindPort={bind}", f"-httpPort={http}", "-healthPort=0", "-httpAddr=127.0.0.1")
    first = house.start(*argv)
    await_health(first, http)
    node_id = get(http, "/status")["node_id"]
    first.kill()
    first.wait(5)
    second = house.start(*argv)
    await_health(second, http)
    assert get(http, "/status")["node_id"] == node_id


def test_a_reader_that_waits_does_not_hold_up_the_stop(house: House) -> None:
    bind, http = free_ports(2)
    node = house.start(
        f"-bindPort={bind}",
        f"-httpPort={http}",
        "-healthPort=0",
        "-httpAddr=127.0.0.1",
        "-drainTimeout=1s",
    )
    await_health(node, http)
    with urlopen(Request(f"http://127.0.0.1:{http}/publish", b'{"topic":"t","payload":"x"}')):
        pass
    stream = Request(
        f"http://127.0.0.1:{http}/v1/topics/t/messages", headers={"Accept": "text/event-stream"}
    )
    with urlopen(stream, timeout=5) as reader:
        assert reader.status == 200
        node.terminate()
        assert node.wait(10) == 0
