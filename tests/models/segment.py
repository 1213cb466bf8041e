"""A window of the log for tests of segments: what is in it, and what a table of it must say."""

import random

from sprawl._native import encode_batch, encode_envelope
from tests.models import batch, envelope, ids

TOPICS = {0x0123456789ABCDEF: "orders.eu", 7: "größe"}
APPEND_NS = 1_700_000_000_123_456_789
DAY_NS = 86_400 * 1_000_000_000
RECORDS = [
    batch.Record(
        1_700_000_000_000,
        key=b"k",
        value=b'{"n":1}',
        headers=[(b"trace", b"\x00\xff"), ("größe".encode(), b""), (b"trace", b"2")],
        ttl_s=3600,
        idempotency_key="order-1",
        content_type="application/json",
    ),
    batch.Record(1_699_999_999_000, key=b"", value=b"", content_type="image/png"),
    batch.Record(-1, value=None),
]


def window(count: int = 6, copies: int = 1, start: int = 0, step_ns: int = 1) -> bytes:
    """``count`` batches of ``copies`` times ``RECORDS``, two topics in turn, from offset 10 on.

    ``start``: an even number of such batches lie in windows before it. ``step_ns``: from one append
    to the next.
    """
    records = RECORDS * copies
    log, names = b"", list(TOPICS.items())
    ends = dict.fromkeys(TOPICS, 10 + start // 2 * len(records))
    for number in range(start, start + count):
        topic_id, name = names[number % 2]
        producer = (5, 1, (1 << 31) - 2) if number % 3 == 0 else (-1, -1, -1)
        fields = envelope.Envelope(
            kind=1,
            slot=ids.slot_of(name, 3),
            epoch=7,
            partition=3,
            sequence=number,
            topic_id=topic_id,
            append_ns=APPEND_NS + number * step_ns,
            expiry_ns=0,
            records_count=len(records),
        )
        encoded = batch.encode(records, ends[topic_id], 7, producer)
        log += envelope.seal(fields, encoded)
        ends[topic_id] += len(records)
    return log


def large_window(batches: int, values_count: int = 64, value_bytes: int = 1024) -> bytes:
    """Batches of random values in the two topics in turn, encoded by the node's own code."""
    rng, log, names = random.Random(7), [], list(TOPICS.items())
    for number in range(batches):
        topic_id, name = names[number % 2]
        values = [
            (None, rng.randbytes(value_bytes), None, 1_700_000_000_000) for _ in range(values_count)
        ]
        encoded = bytearray(encode_batch(values))
        encoded[:8] = (number // 2 * values_count).to_bytes(8, "big")
        log.append(
            encode_envelope(
                bytes(encoded),
                slot=ids.slot_of(name, 3),
                epoch=0,
                partition=3,
                sequence=number,
                topic_id=topic_id,
                append_ns=APPEND_NS + number * 1_000_000,
                records_count=values_count,
            )
        )
    return b"".join(log)


def topics() -> list[tuple[int, str | None, list[tuple[int, int]]]]:
    """The topics as ``build_segments`` takes them; the second gives a lifetime of a minute."""
    return [
        (topic_id, name, [(0, 60)] if topic_id == 7 else []) for topic_id, name in TOPICS.items()
    ]


def records_of(envelopes: bytes) -> list[tuple[int, int, int, batch.Record]]:
    """(offset, epoch, append time, record) of whole envelopes."""
    out, at = [], 0
    while at < len(envelopes):
        fields, encoded = envelope.check(envelopes[at:])
        at += 64 + len(encoded)
        out += [
            (offset, fields.epoch, fields.append_ns, record)
            for offset, record in batch.decode(encoded)
        ]
    return out
