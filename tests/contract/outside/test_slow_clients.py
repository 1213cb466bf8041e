"""Clients that send or read by drops: they are closed in time, and nobody else notices.

200 of them here; ``SPRAWL_TEST_SLOW_CLIENTS=2000`` is the number of the guarantee.
"""

import contextlib
import os
import resource
import select
import time
from itertools import islice
from urllib.request import urlopen

import pytest

from sprawl.limits import BODY_IDLE_TIMEOUT_S, WRITE_BUFFER_BYTES_MAX
from tests.contract.outside.conftest import StartNode
from tests.contract.outside.running_node import RunningNode
from tests.contract.outside.wire import Wire

CLIENTS = int(os.environ.get("SPRAWL_TEST_SLOW_CLIENTS", "200"))
CLOSED_S_MAX = 15
SLACK_S = 1.5
"""What a machine that is busy with tests adds to a deadline."""
DROP_EVERY_S = 1.0
HEAD = b"GET /v1/topics/t/messages HTTP/1.1\r\nHost: node\r\nX-Slow: " + b"x" * 1000
BODY = (
    b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: node\r\nContent-Length: 100000\r\n\r\n"
    + b"x" * 1000
)
READ = (
    b"GET /v1/topics/full/messages?max_bytes=%d&limit=10000 HTTP/1.1\r\nHost: node\r\n"
    b"Connection: close\r\n\r\n" % (2 * WRITE_BUFFER_BYTES_MAX)
)


class Slow:
    """One client: sends a byte, or reads one, now and then; what it can see of its end."""

    def __init__(self, wire: Wire, first: bytes, drops: bytes) -> None:
        self.socket = wire.socket
        self.drops = iter(drops)
        self.is_open = self.sends = bool(drops)
        assert wire.send(first)

    def drop(self) -> None:
        """One byte more."""
        try:
            if not self.sends:
                self.socket.recv(1)
            elif self.is_open:
                self.socket.sendall(bytes(islice(self.drops, 1)))
        except (ConnectionResetError, BrokenPipeError):
            self.is_open = False

    def look(self) -> None:
        """Takes the last answer, or the end."""
        try:
            self.is_open = bool(self.socket.recv(4096))
        except ConnectionResetError:
            self.is_open = False


def connections(node: RunningNode) -> int:
    """Open connections as the node counts them, this question's own among them."""
    with urlopen(f"http://127.0.0.1:{node.health_port}/metrics", timeout=10) as answer:
        return int(answer.read().split(b"\nsprawl_connections ")[1].split()[0])


def publish_s(wire: Wire) -> float:
    """Seconds that a well client waits for its receipt."""
    started = time.perf_counter()
    wire.send(b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: node\r\nContent-Length: 1\r\n\r\nx")
    answer = wire.answer()
    assert answer is not None and answer.status == 201
    return time.perf_counter() - started


def p99(durations: list[float]) -> float:
    return sorted(durations)[len(durations) * 99 // 100]


@pytest.mark.timeout(60)
def test_slow_clients_are_closed_and_others_do_not_notice(start_node: StartNode) -> None:
    needed = CLIENTS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    node = start_node(SPRAWL_CONNECTIONS_PER_ADDRESS_MAX=str(needed))
    node.fill("full", 2_000, "x" * 1000)
    with contextlib.ExitStack() as stack:
        well = stack.enter_context(Wire(node.port))
        before = p99([publish_s(well) for _ in range(300)])
        started = time.monotonic()
        slow = []
        for number in range(CLIENTS):
            wire = stack.enter_context(Wire(node.port, receive_bytes=4096))
            first, drops = ((HEAD, b"x" * 99), (BODY, b"x" * 99), (READ, b""))[number % 3]
            slow.append(Slow(wire, first, drops))
        deadline = time.monotonic() + CLOSED_S_MAX + SLACK_S
        waits, next_drop, last_s = [], 0.0, 0.0
        # What lies in a reader's own buffer hides the end from it, so the node is asked, too.
        while (open_ := [each for each in slow if each.is_open]) or connections(node) > 2:
            assert time.monotonic() < deadline, f"{connections(node)} clients are still there"
            waits.append(publish_s(well))
            if time.monotonic() >= next_drop:
                next_drop = time.monotonic() + DROP_EVERY_S
                for client in slow:
                    client.drop()
            poll = select.poll()
            by_number = {client.socket.fileno(): client for client in open_}
            for descriptor in by_number:
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll(20):
                by_number[descriptor].look()
            last_s = time.monotonic() - started
        assert last_s > BODY_IDLE_TIMEOUT_S - 2, "they were slow, and given their time"
        assert p99(waits) < max(2 * before, 0.05), f"{p99(waits)} s, before {before} s"
