"""Clients that go away at the worst moment, and nodes that are stopped or killed with work open."""

import contextlib
import random
import signal
import time

import pytest

from tests.contract.outside.conftest import StartNode
from tests.contract.outside.running_node import RunningNode, until
from tests.contract.outside.wire import Wire

STREAM = b"GET /v1/topics/t/messages HTTP/1.1\r\nHost: n\r\nAccept: text/event-stream\r\n\r\n"
WAIT = b"GET /v1/topics/t/messages?from=latest&wait=30 HTTP/1.1\r\nHost: n\r\n\r\n"
COLD = b"GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n"
BODY = b"PUT /v1/topics/u HTTP/1.1\r\nHost: n\r\nContent-Length: 2\r\n\r\n"
PUBLISH = b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nx"
SOCKET = (
    b"GET /v1/topics/t/messages?from=earliest HTTP/1.1\r\nHost: n\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HALF_HEAD = b"GET /health HTTP/1.1\r\nHo"
HALF_BODY = b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: n\r\nContent-Length: 9\r\n\r\nhalf"


def connections(node: RunningNode) -> int:
    """Open connections of the node, that of the question included."""
    with Wire(node.port) as wire:
        wire.send(b"GET /metrics HTTP/1.1\r\nHost: n\r\nAccept: text/plain\r\n\r\n")
        answer = wire.answer()
    assert answer is not None
    (line,) = [
        line
        for line in answer.body.decode().splitlines()
        if line.startswith("sprawl_connections") and not line.startswith("#")
    ]
    return int(float(line.rsplit(" ", 1)[1]))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_go_at_any_byte_leave_no_connection_behind(
    node: RunningNode, reset: bool
) -> None:
    """Half of them before the answer, half somewhere in it; closed or reset."""
    node.fill("t", 2_000, "x" * 200)
    choice = random.Random(7)
    requests = [STREAM, WAIT, COLD * 3, BODY + b"{}", PUBLISH * 5 + STREAM, SOCKET, WAIT + COLD]
    for number in range(300):
        data = requests[number % len(requests)]
        with Wire(node.port) as wire:
            wire.send(data[: choice.randint(1, 2 * len(data))])
            if reset:
                # Linger of 0: the kernel sends a reset in place of an end.
                wire.socket.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            if choice.random() < 0.5:
                wire.socket.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    wire.exactly(choice.randint(1, 20_000))
    until(lambda: connections(node) <= 1, "end of all connections", 20)
    assert node.get("/v1/topics/t/messages?limit=1")["messages"]


def test_a_long_poll_ends_with_its_client(node: RunningNode) -> None:
    node.fill("t", 1)
    wires = [Wire(node.port) for _ in range(50)]
    for wire in wires:
        wire.send(WAIT)
    until(lambda: connections(node) >= 51, "50 open polls")
    for wire in wires:
        wire.close()
    until(lambda: connections(node) <= 1, "end of the polls, long before their 30 s", 5)


def test_a_long_poll_whose_client_ends_its_side_is_answered_at_once(node: RunningNode) -> None:
    node.fill("t", 1)
    with Wire(node.port) as wire:
        wire.send(WAIT)
        until(lambda: connections(node) >= 2, "the open poll")
        wire.end_of_sending()
        answer = wire.answer()
        assert answer is not None and answer.status == 200
        assert b'"up_to_date":true' in answer.body
        assert wire.rest() == b""


def open_everything(node: RunningNode, stack: contextlib.ExitStack) -> dict[str, Wire]:
    node.fill("t", 100)
    kinds = {
        "idle": b"",
        "stream": STREAM,
        "wait": WAIT,
        "half head": HALF_HEAD,
        "half body": HALF_BODY,
        "kept alive": COLD,
        "half behind whole": PUBLISH + HALF_HEAD,
    }
    wires = {name: stack.enter_context(Wire(node.port)) for name in kinds}
    for name, data in kinds.items():
        wires[name].send(data)
    for name in ("kept alive", "half behind whole"):
        assert wires[name].answer() is not None
    assert wires["stream"].until(b"\n\n")
    until(lambda: connections(node) == len(kinds) + 1, "all of them open")
    return wires


def test_a_stop_answers_what_is_open_and_takes_what_is_half_within_its_time(
    start_node: StartNode,
) -> None:
    node = start_node("-drainTimeout=2s")
    with contextlib.ExitStack() as stack:
        wires = open_everything(node, stack)
        node.process.send_signal(signal.SIGTERM)
        for name in ("idle", "kept alive"):
            assert wires[name].rest() == b""
        assert b"event: message" in wires["stream"].rest()
        poll = wires["wait"].answer()
        assert poll is not None and poll.status == 200
        assert wires["wait"].rest() == b""
        # A publish that was half here is taken or refused, never left without an answer.
        wires["half body"].send(b"body!")
        late = wires["half body"].answer()
        assert late is not None and late.status in (201, 503)
        assert wires["half body"].rest() == b""
        # The two half heads hold it for its drain time and no longer.
        until(lambda: node.process.poll() is not None, "end within the drain time", 4)
    assert node.process.returncode == 0
    assert " ERROR " not in node.log, node.log


def test_a_stop_with_nothing_half_does_not_wait_for_its_drain_time(start_node: StartNode) -> None:
    node = start_node("-drainTimeout=30s")
    node.fill("t", 10)
    with contextlib.ExitStack() as stack:
        for data in (b"", STREAM, WAIT, STREAM, WAIT, HALF_BODY):
            wire = stack.enter_context(Wire(node.port))
            wire.send(data)
        until(lambda: connections(node) == 7, "all of them open")
        node.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in node.log, "the drain")
        wire.send(b"body!")
        answer = wire.answer()
        assert answer is not None and answer.status in (201, 503)
        started = time.monotonic()
        until(lambda: node.process.poll() is not None, "end at once", 5)
        assert time.monotonic() - started < 5
    assert node.process.returncode == 0


def test_a_node_that_stops_says_so_to_websockets(start_node: StartNode) -> None:
    node = start_node("-drainTimeout=5s")
    node.fill("t", 1)
    with Wire(node.port) as wire:
        wire.send(SOCKET)
        answer = wire.answer(has_body=False)
        assert answer is not None and answer.status == 101
        node.process.send_signal(signal.SIGTERM)
        opcode, length = wire.exactly(2)
        code = int.from_bytes(wire.exactly(length)[:2])
        assert (opcode, code) == (0x88, 1001)
        # The client's half of the closing handshake, masked with zeros.
        wire.send(bytes([0x88, 0x82, 0, 0, 0, 0]) + (1001).to_bytes(2))
        assert wire.rest() == b""
    until(lambda: node.process.poll() is not None, "end after the farewell", 3)
    assert node.process.returncode == 0


def test_publishers_that_are_cut_by_a_stop_know_what_was_stored(start_node: StartNode) -> None:
    """Every 201 before the stop counts; a refusal while stopping is 503 and certainly not stored."""
    node = start_node("-drainTimeout=2s")
    with Wire(node.port, timeout_s=5) as wire:
        statuses: list[int] = []
        for number in range(5_000):
            if number == 500:
                node.process.send_signal(signal.SIGTERM)
            if not wire.send(PUBLISH):
                break
            answer = wire.answer()
            if answer is None:
                break
            statuses.append(answer.status)
        assert set(statuses) <= {201, 503}
        assert statuses == sorted(statuses)
        assert len(statuses) >= 500
    until(lambda: node.process.poll() is not None, "end of the node", 4)
    assert node.process.returncode == 0


def test_what_kill_9_takes_was_promised_by_nobody(start_node: StartNode) -> None:
    """Level memory: the receipt says so, the next start says so, and the messages are gone."""
    node = start_node("-storageType=memory")
    receipt = node.post("/v1/topics/t/messages", b"x")
    assert receipt["durability"]["reached"] == "memory"
    with Wire(node.port) as wire:
        wire.send(STREAM)
        assert wire.until(b"\n\n")
        node.kill()
        wire.rest()
    node.start()
    assert "memory only" in node.log
    assert node.get("/topics")["count"] == 0
    again = node.post("/v1/topics/t/messages", b"y")
    assert again["offset"] == 0
    assert again["id"] != receipt["id"]
    assert node.stop(5) == 0
