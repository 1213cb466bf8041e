"""The compiled engine over HTTP bytes against a dict of lists, and its memory tier against the plain ring."""

import json
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sprawl import _native
from tests.models.ring import PlainRing

NOW = 1_700_000_000 * 1_000_000_000
SECOND = 1_000_000_000
ENVELOPE_BYTES = 64
BATCH_HEADER_BYTES = 61

topics = st.sampled_from(["a", "b.c", "b.d"])
texts = st.text(max_size=30)


def engine(memory_bytes_max: int = 1 << 24, chunk_bytes: int = 1 << 20) -> _native.Engine:
    return _native.Engine(
        memory_bytes_max=memory_bytes_max,
        chunk_bytes=chunk_bytes,
        dedup_keys_max=1000,
        topics_max=100,
        seed=1,
        node_id="n",
    )


def post(topic: str, body: bytes, **headers: str) -> bytes:
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1/topics/{topic}/messages HTTP/1.1\r\nHost: h\r\n{fields}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(topic: str, query: str) -> bytes:
    return f"GET /v1/topics/{topic}/messages?{query} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def answers(data: bytes) -> list[tuple[int, Any]]:
    """Status and JSON body of each answer."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")
        )
        found.append((int(head[9:12]), json.loads(rest[:length])))
        data = rest[length:]
    return found


BEGUN = 7
"""The step of that name in native/src/connection.rs."""

operations = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), topics, texts, st.none() | st.integers(0, 3)),
        st.tuples(st.just("several"), topics, st.lists(texts, max_size=5)),
        st.tuples(st.just("read"), topics, st.integers(0, 12), st.integers(1, 5)),
        st.tuples(st.just("tick")),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(operations, st.integers(1, 200), st.booleans())
def test_the_engine_agrees_with_lists(
    steps: list[tuple[Any, ...]], piece: int, is_pipelined: bool
) -> None:
    native = engine()
    connection = native.connection(1, is_hot=True)
    model: dict[str, list[str]] = {}
    keys: dict[tuple[str, int], tuple[int, str]] = {}
    requests: list[bytes] = []
    expected: list[tuple[int, Any]] = []
    replies = b""

    def flush() -> None:
        nonlocal replies
        data = b"".join(requests)
        requests.clear()
        for at in range(0, len(data), piece):
            reply = connection.receive(data[at : at + piece], NOW)
            if isinstance(reply, tuple):
                # Answers with the next request begun behind them.
                assert reply[1:] == (BEGUN, None, 0)
                reply = reply[0]
            replies += reply or b""

    for step in steps:
        match step:
            case ("publish", topic, text, None):
                model.setdefault(topic, []).append(text)
                requests.append(post(topic, text.encode()))
                expected.append((201, len(model[topic]) - 1))
            case ("publish", topic, text, key):
                requests.append(post(topic, text.encode(), Idempotency_Key=f"k{key}"))
                held = model.setdefault(topic, [])
                if (topic, key) not in keys:
                    keys[topic, key] = (len(held), text)
                    held.append(text)
                    expected.append((201, len(held) - 1))
                else:
                    offset, first = keys[topic, key]
                    expected.append((200, offset) if first == text else (409, None))
            case ("several", topic, values):
                items = [{"payload": value} for value in values]
                body = json.dumps({"messages": items}).encode()
                requests.append(
                    post(topic, body, Content_Type="application/vnd.sprawl.messages+json")
                )
                end = len(model.get(topic, []))
                expected.append((200, list(range(end, end + len(values)))))
                if values:
                    # A publish that stores nothing makes nothing.
                    model.setdefault(topic, []).extend(values)
            case ("read", topic, offset, limit):
                requests.append(get(topic, f"from=offset:{offset}&limit={limit}"))
                if topic not in model:
                    expected.append((404, None))
                elif offset > len(model[topic]):
                    expected.append((416, None))
                else:
                    expected.append(
                        (200, {"from": offset, "values": model[topic][offset:][:limit]})
                    )
            case _:
                flush()
                native.end_tick(NOW)
        if not is_pipelined:
            flush()
    flush()
    found = answers(replies)
    assert [status for status, _ in found] == [status for status, _ in expected]
    for (_, body), (_, wanted) in zip(found, expected, strict=True):
        if isinstance(wanted, int):
            assert body["offset"] == wanted
        elif isinstance(wanted, list):
            assert [result["offset"] for result in body["results"]] == wanted
        elif wanted is not None:
            messages = body["messages"]
            assert [message["payload"] for message in messages] == wanted["values"]
            offsets = [message["offset"] for message in messages]
            assert offsets == list(range(wanted["from"], wanted["from"] + len(offsets)))
    assert connection.held == 0
    for topic, values in model.items():
        seen: list[str] = []
        reader = native.reader(topic, b"", "ndjson", None, NOW)
        while (data := reader.pull(200, 3, NOW)) is not None:
            seen += [json.loads(line)["payload"] for line in data.splitlines()]
            native.end_tick(NOW)
        assert seen == values


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(topics, st.integers(0, 6000), st.booleans()), min_size=20, max_size=250))
def test_the_memory_tier_agrees_with_the_plain_ring(
    appends: list[tuple[str, int, bool]],
) -> None:
    native = engine(memory_bytes_max=1 << 16, chunk_bytes=1 << 13)
    connection = native.connection(1, is_hot=True)
    ring = PlainRing(1 << 16, 1 << 13)
    now_ns = NOW
    for topic, size, is_binary in appends:
        now_ns += SECOND
        batch = record_batch(b"x" * size, now_ns // 1_000_000)
        if is_binary:
            request = post(topic, batch, Content_Type="application/x-sprawl-batch")
        else:
            request = post(topic, b"x" * size)
        base, _ = ring.append(topic, 1, ENVELOPE_BYTES + len(batch), now_ns)
        reply = connection.receive(request, now_ns)
        assert isinstance(reply, bytes)
        ((status, body),) = answers(reply)
        if is_binary:
            assert (status, body["results"][0]["base_offset"]) == (200, base)
        else:
            assert (status, body["offset"]) == (201, base)
        native.end_tick(now_ns)
        for name, end in ring.ends.items():
            info = native.topic_get(name)
            assert info is not None
            part = info["partitions"][0]
            assert (part["low_offset"], part["high_offset"]) == (ring.low(name), end)
            assert part["bytes"] == sum(held.size for held in ring.batches(name))
    for name, end in ring.ends.items():
        for back_s in (0, 3, 50):
            since = now_ns - back_s * SECOND
            reply = connection.receive(get(name, f"limit=1&wait=0&from=-{back_s}s"), now_ns)
            assert isinstance(reply, bytes)
            ((status, body),) = answers(reply)
            offsets = [message["offset"] for message in body["messages"]]
            first = ring.first_since(name, since)
            assert (status, offsets) == (200, [first] if first < end else [])
        for offset in (ring.low(name) - 1, ring.low(name), end - 1):
            held = ring.find(name, offset)
            reply = connection.receive(get(name, f"from=offset:{max(offset, 0)}"), now_ns)
            assert isinstance(reply, bytes)
            ((status, _),) = answers(reply)
            if offset >= 0:
                expired = held is None and offset < ring.low(name)
                assert status == (410 if expired else 200)


def varint(number: int) -> bytes:
    """Zigzag varint of a record's field."""
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def crc32c(data: bytes) -> int:
    """Castagnoli, bit by bit over a table."""
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC_TABLE = [table_entry(byte) for byte in range(256)]


def record_batch(value: bytes, timestamp_ms: int) -> bytes:
    """A RecordBatch v2 of one record without key and headers: as long as the engine's own."""
    fields = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    records = varint(len(fields)) + fields
    checked = struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1)
    checked += records
    head = struct.pack(">qiibI", 0, len(checked) + 9, 0, 2, crc32c(checked))
    assert len(head) + len(checked) - len(records) == BATCH_HEADER_BYTES
    return head + checked
