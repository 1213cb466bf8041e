"""What clients that do not read, do not end or are too many cost the node: a bounded piece each.

Memory is the process's own (RssAnon, RssShmem), against what it was when the log already held the data. A client
is stalled once its socket takes no more: then the node holds for it what it ever will.
"""

import contextlib
import json
import resource
import select
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from sprawl.limits import FETCH_BYTES_MAX, UNSENT_BYTES_MAX, WRITE_STALL_TIMEOUT_S
from tests.contract.outside.conftest import StartNode
from tests.contract.outside.running_node import RunningNode, until
from tests.contract.outside.wire import Wire

MIB = 1024 * 1024
STALLED_BYTES_MAX = MIB
"""The bound per stalled client."""
SLACK_BYTES = 24 * MIB
"""What the allocator and the collector may hold besides, whatever the number of clients. Unbounded, each of these tests
costs hundreds."""
TINY = 4096
"""Receive buffer of a client that does not read: the kernel takes little of the answers."""


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: node", *fields, "", ""]).encode()


def send_until_stalled(wire: Wire, data: bytes, quiet_s: float = 0.5) -> int:
    """Sends what the socket takes, until it took nothing for ``quiet_s``; how much it took."""
    wire.socket.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [wire.socket], [], quiet_s)[1]:
        with contextlib.suppress(BlockingIOError):
            sent += wire.socket.send(data[sent : sent + 65536])
    wire.socket.settimeout(10)
    return sent


def settle(node: RunningNode) -> None:
    """Returns when the node has done what it was given: its answer comes at once, twice."""
    for _ in range(2):
        node.get("/health")


def check_growth(node: RunningNode, before: int, bytes_max: int) -> None:
    settle(node)
    grown = node.rss_bytes - before
    bound = bytes_max + SLACK_BYTES
    assert grown <= bound, f"grew by {grown} bytes, may grow by {bound}"


@pytest.fixture(scope="module")
def topic(node: RunningNode) -> str:
    """About 20 MiB of messages of 1 KiB."""
    node.fill("full", 20_000, "x" * 1000)
    return "full"


def read_all(node: RunningNode, topic: str, count: int) -> None:
    """A reader that is well: it gets everything while the others stall."""
    with Wire(node.port) as wire:
        wire.send(get(f"/v1/topics/{topic}/messages?from=earliest", "Accept: text/event-stream"))
        seen = 0
        while seen < count:
            event = wire.until(b"\n\n")
            seen += event.count(b"event: message")


def test_stalled_event_streams_cost_at_most_their_budget(node: RunningNode, topic: str) -> None:
    read_all(node, topic, 20_000)
    before = node.rss_bytes
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(Wire(node.port, receive_bytes=TINY))
            wire.send(
                get(f"/v1/topics/{topic}/messages?from=earliest", "Accept: text/event-stream")
            )
        read_all(node, topic, 20_000)
        check_growth(node, before, 20 * STALLED_BYTES_MAX)
    assert node.get(f"/v1/topics/{topic}/messages?limit=1")["messages"]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("reads", get("/v1/topics/full/messages?limit=10")),
        ("application", get("/v1/topics/full")),
        ("refusals", get("/none")),
        (
            "publishes",
            b"POST /v1/topics/flood/messages HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nx",
        ),
    ],
)
def test_ten_thousand_requests_whose_answers_nobody_reads_cost_a_budget(
    node: RunningNode, topic: str, name: str, request_: bytes
) -> None:
    before = node.rss_bytes
    clients = 5
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(node.port, receive_bytes=TINY)) for _ in range(clients)]
        for wire in wires:
            send_until_stalled(wire, request_ * 10_000, quiet_s=0.3)
        check_growth(node, before, clients * STALLED_BYTES_MAX)
        # Whoever begins to read gets every answer of what was taken.
        first = wires[0].answer()
        assert first is not None and first.status in (200, 201, 404)


def test_large_answers_that_nobody_reads_share_one_budget(node: RunningNode, topic: str) -> None:
    before = node.rss_bytes
    large = get(f"/v1/topics/{topic}/messages?max_bytes={FETCH_BYTES_MAX}&limit=10000")
    small = f"/v1/topics/{topic}/messages?limit=1"
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(node.port, receive_bytes=TINY)) for _ in range(200)]
        for wire in wires:
            assert wire.send(large)
        # One answer may begin just below the bound; its scratch and its bytes are there at once.
        check_growth(node, before, UNSENT_BYTES_MAX + 3 * FETCH_BYTES_MAX)
        with Wire(node.port) as other:
            other.send(get(small))
            refused = other.answer()
            assert refused is not None and refused.status == 503, refused
            assert refused.headers["retry-after"] == "1"
            other.send(
                get("/v1/topics/flood/messages", "Content-Length: 0").replace(b"GET", b"POST", 1)
            )
            published = other.answer()
            assert published is not None and published.status == 201
        # Who takes nothing is dropped, and then there is room again.
        until(lambda: _is_read(node, small), "room for answers", WRITE_STALL_TIMEOUT_S + 5)


def _is_read(node: RunningNode, target: str) -> bool:
    with Wire(node.port) as wire:
        wire.send(get(target))
        answer = wire.answer()
        return answer is not None and answer.status == 200


def test_a_stalled_client_reads_on_and_gets_every_answer(node: RunningNode, topic: str) -> None:
    count = 3_000
    data = get(f"/v1/topics/{topic}/messages?limit=5") * count
    with Wire(node.port, timeout_s=20, receive_bytes=TINY) as wire:
        sent = send_until_stalled(wire, data)
        assert sent > 0
        rest = threading.Thread(target=wire.send, args=(data[sent:],))
        rest.start()
        for _ in range(count):
            answer = wire.answer()
            assert answer is not None and answer.status == 200
            assert answer.body.count(b'"offset"') == 5
        rest.join()


def test_bytes_behind_an_open_wait_are_bounded(node: RunningNode) -> None:
    node.fill("quiet", 1)
    before = node.rss_bytes
    with Wire(node.port) as wire:
        wire.send(get("/v1/topics/quiet/messages?from=latest&wait=30"))
        taken = send_until_stalled(wire, get("/health") * 1_000_000)
        assert taken < 32 * MIB
        check_growth(node, before, STALLED_BYTES_MAX)
        node.fill("quiet", 1)
        answer = wire.answer()
        assert answer is not None
        assert len(json.loads(answer.body)["messages"]) == 1
        answer = wire.answer()
        assert answer is not None and answer.status == 200


def test_a_stream_of_bad_lines_whose_answers_nobody_reads_costs_a_budget(
    node: RunningNode,
) -> None:
    before = node.rss_bytes
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            wire = stack.enter_context(Wire(node.port, receive_bytes=TINY))
            wire.send(
                b"POST /v1/topics/lines/messages HTTP/1.1\r\nHost: node\r\n"
                b"Content-Type: application/x-ndjson\r\nContent-Length: 16777216\r\n\r\n"
            )
            assert send_until_stalled(wire, b"x\n" * 8 * MIB, quiet_s=0.3) < 16 * MIB
        check_growth(node, before, 5 * STALLED_BYTES_MAX)


@pytest.mark.parametrize("kind", ["length", "chunked", "lines"])
def test_bodies_that_do_not_end_share_one_budget(node: RunningNode, kind: str) -> None:
    """12 bodies of 10 MiB are promised and begun; above 64 MiB in flight they are refused."""
    clients, body_bytes = 12, 10 * MIB
    fields = {
        "length": b"Content-Length: 10485761\r\n\r\n",
        "chunked": b"Transfer-Encoding: chunked\r\n\r\na00001\r\n",
        "lines": b"Content-Type: application/x-ndjson\r\nContent-Length: 10485761\r\n\r\n",
    }[kind]
    before = node.rss_bytes
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(node.port)) for _ in range(clients)]
        for wire in wires:
            wire.send(b"POST /v1/topics/bodies/messages HTTP/1.1\r\nHost: node\r\n" + fields)
        piece = b"y" * MIB
        for _ in range(body_bytes // MIB):
            for wire in wires:
                wire.send(piece)
        settle(node)
        # A growing body may need its place twice while it is moved to a larger one.
        assert node.rss_bytes - before < (2 * 64 + 16) * MIB
        refused = sum(_was_refused(wire) for wire in wires)
        assert refused >= 5
        # The others still have their place: their last byte makes a whole request.
        assert refused < clients
    # Nothing is left of the budget's use: a full payload is taken again.
    until(lambda: _takes_a_large_payload(node), "room for a payload of 10 MiB")


def _was_refused(wire: Wire) -> bool:
    """Whether the node has ended this connection, and if it said why, then for want of room."""
    wire.socket.settimeout(0.2)
    said = bytearray()
    try:
        while piece := wire.socket.recv(65536):
            said += piece
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True  # what was sent after the refusal reset the connection
    assert b'"code":"busy"' in said
    return True


def test_a_line_of_one_mebibyte_that_comes_in_pieces_is_stored(node: RunningNode) -> None:
    line = b'{"payload":"' + b"l" * MIB + b'"}\n'
    with Wire(node.port) as wire:
        wire.send(
            b"POST /v1/topics/longline/messages HTTP/1.1\r\nHost: node\r\n"
            b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % (2 * len(line))
        )
        for _ in range(2):
            for at in range(0, len(line), 50_000):
                wire.send(line[at : at + 50_000])
        answer = wire.answer()
    assert answer is not None and answer.status == 200
    assert [json.loads(each)["offset"] for each in answer.body.splitlines()] == [0, 1]


def _takes_a_large_payload(node: RunningNode) -> bool:
    with Wire(node.port) as wire:
        wire.send(
            b"POST /v1/topics/bodies/messages HTTP/1.1\r\nHost: node\r\n"
            b"Content-Length: 10485760\r\n\r\n" + b"z" * 10 * MIB
        )
        answer = wire.answer()
        return answer is not None and answer.status == 201


def test_one_address_gets_two_thousand_connections_and_no_more(node: RunningNode) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    try:
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(node.port)) for _ in range(2_000)]
            over = stack.enter_context(Wire(node.port))
            over.send(get("/health"))
            answer = over.answer()
            assert answer is not None and answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert json.loads(answer.body)["code"] == "busy"
            assert over.rest() == b""
            wires[0].send(get("/health"))
            answer = wires[0].answer()
            assert answer is not None and answer.status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: _is_admitted(node), "room for a connection after the others closed")


def _is_admitted(node: RunningNode) -> bool:
    with Wire(node.port) as wire:
        wire.send(get("/health"))
        answer = wire.answer()
        return answer is not None and answer.status == 200


def event_offsets(node: RunningNode, topic: str, count: int) -> Iterator[int]:
    with Wire(node.port, timeout_s=30) as wire:
        wire.send(get(f"/v1/topics/{topic}/messages?from=earliest", "Accept: text/event-stream"))
        seen = 0
        while seen < count:
            event = wire.until(b"\n\n")
            at = event.find(b'"offset":')
            if at >= 0:
                seen += 1
                yield int(event[at + 9 :].split(b",", 1)[0])


def test_fifty_thousand_messages_reach_an_event_stream_and_a_binary_socket_in_order(
    node: RunningNode,
) -> None:
    """Published while both read; the socket grants its credit as it goes."""
    count = 50_000
    node.fill("many", 1)
    publisher = threading.Thread(target=node.fill, args=("many", count - 1))
    url = f"ws://127.0.0.1:{node.port}/v1/topics/many/messages?from=earliest"
    offsets: list[int] = []
    reader = threading.Thread(
        target=lambda: offsets.extend(event_offsets(node, "many", count)), daemon=True
    )
    with connect(url, subprotocols=["sprawl.binary"], compression=None, max_size=None) as client:  # type: ignore[list-item]
        publisher.start()
        reader.start()
        client.send('{"credit":{"messages":2000}}')
        next_offset, deadline = 0, time.monotonic() + 40
        granted = 2_000
        while next_offset < count:
            frame = client.recv(timeout=deadline - time.monotonic())
            assert isinstance(frame, bytes)
            at = 0
            while at < len(frame):
                (base, length) = struct.unpack_from(">qi", frame, at)
                (records,) = struct.unpack_from(">i", frame, at + 57)
                assert base == next_offset, (base, next_offset)
                next_offset += records
                at += 12 + length
            if granted - next_offset < 1_000 and granted < count:
                client.send('{"credit":{"messages":2000}}')
                granted += 2_000
    publisher.join(30)
    reader.join(40)
    assert offsets == list(range(count))


def test_no_credit_no_message(node: RunningNode, topic: str) -> None:
    url = f"ws://127.0.0.1:{node.port}/v1/topics/{topic}/messages?from=earliest"
    before = node.rss_bytes
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(url, compression=None)) for _ in range(10)]
        for client in clients:
            client.send('{"credit":{"messages":3}}')
        for client in clients:
            offsets = [json.loads(client.recv(timeout=5))["offset"] for _ in range(3)]
            assert offsets == [0, 1, 2]
            with pytest.raises(TimeoutError):
                client.recv(timeout=0.05)
        check_growth(node, before, 10 * STALLED_BYTES_MAX)


def test_sockets_that_take_credit_and_do_not_read_cost_a_budget(
    node: RunningNode, topic: str
) -> None:
    before = node.rss_bytes
    handshake = get(
        f"/v1/topics/{topic}/messages?from=earliest",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    credit = b'{"credit":{"messages":1000000}}'
    frame = bytes([0x81, 0x80 | len(credit), 0, 0, 0, 0]) + credit
    ping = bytes([0x89, 0x80 | 100, 0, 0, 0, 0]) + b"p" * 100
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            wire = stack.enter_context(Wire(node.port, receive_bytes=TINY))
            wire.send(handshake)
            answer = wire.answer(has_body=False)
            assert answer is not None and answer.status == 101
            wire.send(frame)
            assert send_until_stalled(wire, ping * 100_000, quiet_s=0.2) < 10 * MIB
        check_growth(node, before, 10 * STALLED_BYTES_MAX)


def test_a_client_that_takes_no_farewell_is_dropped(node: RunningNode, topic: str) -> None:
    """Connection: close with answers that nobody reads: the node does not wait for ever."""
    with Wire(node.port, receive_bytes=TINY) as wire:
        target = f"/v1/topics/{topic}/messages?limit=10000&max_bytes=16777216"
        wire.send(get(target, "Connection: close"))
        assert wire.exactly(4) == b"HTTP"
        local = wire.socket.getsockname()
        # More than the kernel takes: the connection is not closed yet.
        settle(node)
        assert _is_established(node.port, local)
        until(lambda: not _is_established(node.port, local), "end of the connection", 14)


def _is_established(port: int, client: tuple[str, int]) -> bool:
    """Whether the node's side of the connection is there, from the kernel's table."""
    wanted = (f":{port:04X}", f":{client[1]:04X}")
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - not a file
        rows = [line.split() for line in table.readlines()[1:]]
    return any(
        row[1].endswith(wanted[0]) and row[2].endswith(wanted[1]) and row[3] == "01" for row in rows
    )


def test_an_event_stream_that_stalled_until_retention_overtook_it_is_told_of_the_gap(
    start_node: StartNode,
) -> None:
    """Never a silent skip: what is missing lies between two offsets of a ``gap`` event."""
    node = start_node("-memoryMaxSize=16777216", "-storageType=memory")
    node.fill("ring", 2_000, "x" * 1000)
    with Wire(node.port, receive_bytes=TINY) as wire:
        wire.send(get("/v1/topics/ring/messages?from=earliest", "Accept: text/event-stream"))
        for _ in range(8):
            node.fill("ring", 4_000, "y" * 1000)
        lowest = node.get("/v1/topics/ring/messages?limit=1")["messages"][0]["offset"]
        assert lowest > 2_000
        expected, gaps, last = 0, 0, 33_999
        while expected <= last:
            event = wire.until(b"\n\n")
            assert event, "the node ended the stream"
            if event.startswith(b"event: gap") or b"\nevent: gap" in event:
                gaps += 1
                expected = -1
                continue
            at = event.find(b'"offset":')
            if at < 0:
                continue
            offset = int(event[at + 9 :].split(b",", 1)[0])
            if expected < 0:
                assert offset >= lowest
            else:
                assert offset == expected, "skipped without a gap"
            expected = offset + 1
    assert gaps == 1
