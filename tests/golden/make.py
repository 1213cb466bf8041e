"""Writes the golden vectors from the slow twins: ``python -m tests.golden.make``.

The formats are fixed: a run that changes a file has found an incompatible change.
"""

import json
from pathlib import Path

from tests.models import batch, disk, envelope, ids, segment

HERE = Path(__file__).resolve().parent

NAMES = [
    "a",
    "orders",
    "orders.eu.created",
    "Z_~-9",
    "t" * 249,
    "metrics.host-01.cpu",
    "$sys.topics",
    "x" * 16,
    "x" * 17,
    "x" * 128,
    "x" * 240,
    "x" * 241,
]
KEYS = [b"", b"a", b"customer-12345", bytes(range(256)), b"k" * 300]
TOPIC_IDS = [0, 1, 0x0123456789ABCDEF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF]
CURSORS = [
    [],
    [(1, 2, 3, 4)],
    [(0xFFFFFFFFFFFFFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)],
    [(7, 1, 5, 100), (7, 0, 5, 0), (6, 1023, 1, 1 << 40)],
    [(9, partition, 2, partition * 1000) for partition in range(64)],
]
BATCHES = {
    "one": [batch.Record(1_700_000_000_000, value=b"hello")],
    "nulls": [batch.Record(0), batch.Record(-1, key=b"", value=b"")],
    "reserved": [
        batch.Record(
            1_700_000_000_000,
            key=b"k",
            value=b"{}",
            headers=[(b"trace", b"\x00\xff"), ("größe".encode(), b"")],
            ttl_s=3600,
            idempotency_key="order-1",
            content_type="application/json",
        ),
        batch.Record(1_699_999_999_000, value=b"x" * 200, content_type="image/png"),
    ],
}


def ids_document() -> dict[str, object]:
    """Slots, partitions of keys, topic ids and cursors."""
    slots = [[n, p, ids.slot_of(n, p)] for n in NAMES for p in (0, 1, 255, 256, 1023, 4095)]
    keys = [[k.hex(), n, ids.partition_of_key(k, n)] for k in KEYS for n in (1, 2, 3, 64, 1024)]
    topics = [[str(number), ids.topic_id_text(number)] for number in TOPIC_IDS]
    cursors = [
        {
            "entries": [[str(a), b, c, str(d)] for a, b, c, d in sorted(e)],
            "text": ids.cursor_encode(e),
        }
        for e in CURSORS
    ]
    return {"slots": slots, "keys": keys, "topic_ids": topics, "cursors": cursors}


def log_document() -> dict[str, object]:
    """Batches (uncompressed) and the same behind envelopes."""
    out: dict[str, object] = {}
    for number, (name, records) in enumerate(BATCHES.items()):
        data = batch.encode(records, 1 << 33, 7, (1 << 62, 3, 9))
        fields = envelope.Envelope(
            kind=1,
            slot=4095 - number,
            epoch=7,
            partition=number,
            sequence=1 << 40,
            topic_id=0x0123456789ABCDEF,
            append_ns=1_700_000_000_123_456_789,
            expiry_ns=0 if number < 2 else 1_700_003_600_123_456_789,
            records_count=len(records),
        )
        sealed = envelope.seal(fields, data)
        out[name] = {"batch": data.hex(), "sealed": sealed.hex(), "envelope": fields.__dict__}
    return out


def disk_document() -> dict[str, object]:
    """A log of two topics and a state of one, its values, and the block of its window."""
    log, base = b"", {0x0123456789ABCDEF: 1 << 33, 7: 0, 1: 5}
    topics = [0x0123456789ABCDEF, 7, 1, 0x0123456789ABCDEF, 7]
    for number, topic_id in enumerate(topics):
        records = [batch.Record(1_700_000_000_000, value=b"v" * number)] * (number % 2 + 1)
        if topic_id == 1:
            records = [
                batch.Record(0, key=b"orders", value=b'{"id":"aaaaaaaaaaaaa"}'),
                batch.Record(0, key=b"gone", value=None),
                batch.Record(0, key=b"orders", value=b'{"id":"baaaaaaaaaaaa"}'),
            ]
        fields = envelope.Envelope(
            kind=2 if topic_id == 1 else 1,
            slot=4095 - number % 2,
            epoch=7,
            partition=3,
            sequence=(1 << 40) + number,
            topic_id=topic_id,
            append_ns=1_700_000_000_123_456_789 + number,
            expiry_ns=0,
            records_count=len(records),
        )
        log += envelope.seal(fields, batch.encode(records, base[topic_id], 7))
        base[topic_id] += len(records)
    # One batch above a value, so that a value begins inside of it and names the one after.
    for number, size in enumerate([70_000, 1]):
        fields = envelope.Envelope(1, 9, 7, 0, number, 7, 1_700_000_001_000_000_000, 0, 1)
        log += envelope.seal(fields, batch.encode([batch.Record(0, value=b"x" * size)], number, 7))
    first = 0x0000_0102_0304_0506
    values = [[key.hex(), value[:16].hex(), len(value)] for key, value in disk.cut(first, log)]
    block = [[key.hex(), value.hex()] for key, value in disk.build(first, log)]
    before, after = log.split(b"x" * 70_000)
    source = {"first_lsn": first, "before": before.hex(), "x": 70_000, "after": after.hex()}
    return {"source": source, "log": values, "index": block}


def text_of(document: dict[str, object]) -> str:
    """JSON with one vector a line."""
    sections = []
    for name, vectors in document.items():
        items = vectors if isinstance(vectors, list) else [vectors]
        lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
        body = f"[\n{lines}\n]" if isinstance(vectors, list) else lines
        sections.append(f"{json.dumps(name)}: {body}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


DOCUMENTS = {"ids.json": ids_document, "log.json": log_document, "disk.json": disk_document}


def write_segment() -> None:
    """A window by the twins and its segment by the build at hand, unless there is one.

    Compression may differ from release to release: what counts is that the file stays readable.
    """
    from sprawl._native import build_segments

    log, files = segment.window(), [HERE / f"segment.{n}" for n in ("manifest", "parquet", "log")]
    if not all(file.exists() for file in files):
        _, [(manifest, data)] = build_segments([log], segment.topics())
        for file, content in zip(files, (manifest, data, log), strict=True):
            file.write_bytes(content)


def main() -> None:
    """Writes every file."""
    for name, document in DOCUMENTS.items():
        (HERE / name).write_text(text_of(document()), encoding="utf-8")
    write_segment()


if __name__ == "__main__":
    main()
