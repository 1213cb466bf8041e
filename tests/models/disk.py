"""The values of the disk tier, slowly and plainly: the twin of ``native/core/src/disk``.

In: log bytes as one ``bytes``, or values. Out: keys and values, or what a lookup gives. Everything
is read whole and searched from the first entry to the last. The scan has no twin here: what it must
say follows from the damage that a test did.
"""

import struct
from dataclasses import dataclass

import xxhash

from tests.models import batch as batch_model
from tests.models import envelope as envelope_model

VALUE_BYTES_MAX = 65_520
HEAD = 16
BLOCK = 64
BLOOM_BLOCKS = 63
NONE = 0xFFFFFF
PARTITION = struct.Struct("<QQqIIIHH")
SLOT = struct.Struct("<QIIHHI")
HEADER = struct.Struct("<QQQQqqIIIII")
STATES = (2, 3)
"""Kinds of envelopes that hold states: records of topics, of manifests."""


@dataclass(frozen=True)
class Stored:
    """An envelope of the log, where it lies and the offset of its first record."""

    lsn: int
    length: int
    base: int
    envelope: envelope_model.Envelope
    batch: bytes


def stored(lsn: int, log: bytes) -> list[Stored]:
    """The envelopes of a log that is whole."""
    out, at = [], 0
    while at < len(log):
        length = int.from_bytes(log[at : at + 4], "little")
        envelope, batch = envelope_model.check(log[at : at + length])
        base = int.from_bytes(batch[:8], "big")
        out.append(Stored(lsn + at, length, base, envelope, batch))
        at += length
    return out


def cut(lsn: int, log: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values of the database ``log``."""
    begins = [item.lsn for item in stored(lsn, log)]
    pairs, step = [], VALUE_BYTES_MAX - HEAD
    for at in range(0, len(log), step):
        body = log[at : at + step]
        inside = [b - lsn - at for b in begins if at <= b - lsn < at + len(body)]
        first = min(inside, default=NONE)
        head = bytes([1]) + first.to_bytes(3, "little") + struct.pack("<IQ", len(body), lsn + at)
        pairs.append((struct.pack(">Q", lsn + at), head + body))
    return pairs


def piece(lsn: int, body: bytes) -> tuple[bytes, bytes]:
    """Key and value of log bytes in which no envelope need begin; at most 65,504 of them."""
    assert 0 < len(body) <= VALUE_BYTES_MAX - HEAD
    head = struct.pack("<B3xIQ", 1, len(body), lsn)
    return struct.pack(">Q", lsn), head + body


def _value(section: int, count: int, body: bytes) -> bytes:
    return struct.pack("<BBHIQ", 1, section, 0, count, xxhash.xxh3_64_intdigest(body)) + body


def _split(entries: list[bytes], most: int) -> list[list[bytes]]:
    return [entries[at : at + most] for at in range(0, len(entries), most)]


def bloom_bits(topic_id: int, partition: int, bloom_bytes: int) -> list[int]:
    """The bits of a partition in the whole filter."""
    key = struct.pack("<QH", topic_id, partition)
    hash_ = xxhash.xxh3_64_intdigest(key)
    block = (hash_ >> 32) * (bloom_bytes // BLOCK) >> 32
    spread = hash_ * 0x9E3779B97F4A7C15 % 2**64
    return [block * BLOCK * 8 + (spread >> 64 - 9 * n) % 512 for n in range(1, 7)]


def states(log: list[Stored]) -> dict[bytes, bytes | None]:
    """The last state of each topic, by name."""
    out: dict[bytes, bytes | None] = {}
    for item in log:
        if item.envelope.kind in STATES:
            for _, record in batch_model.decode(item.batch):
                out[record.key or b""] = record.value
    return dict(sorted(out.items()))


def _snapshots(all_states: dict[bytes, bytes | None]) -> list[bytes]:
    values: list[list[bytes]] = []
    for key, state in all_states.items():
        length = 0xFFFFFFFF if state is None else len(state)
        entry = struct.pack("<HI", len(key), length) + key + (state or b"")
        if not values or sum(map(len, values[-1])) + len(entry) > VALUE_BYTES_MAX - HEAD:
            values.append([])
        values[-1].append(entry)
    return [_value(4, len(entries), b"".join(entries)) for entries in values]


def build(first: int, log: bytes) -> list[tuple[bytes, bytes]]:
    """Keys and values of the database ``index`` for a window that is whole."""
    items = stored(first, log)

    def partition_of(item: Stored) -> tuple[int, int, int]:
        return item.envelope.topic_id, item.envelope.partition, item.base

    def slot_of(item: Stored) -> tuple[int, int]:
        return item.envelope.slot, item.envelope.sequence

    def partition_entry(item: Stored) -> bytes:
        e = item.envelope
        places = (item.lsn - first, item.length, e.records_count, e.partition, e.slot)
        return PARTITION.pack(e.topic_id, item.base, e.append_ns, *places)

    def slot_entry(item: Stored) -> bytes:
        e = item.envelope
        return SLOT.pack(e.sequence, item.lsn - first, e.epoch, e.slot, 0, 0)

    by_partition, by_slot = sorted(items, key=partition_of), sorted(items, key=slot_of)
    partitions = {partition_of(item)[:2] for item in items}
    bloom = bytearray(-(-len(partitions) * 10 // 512) * BLOCK)
    for topic_id, partition in partitions:
        for bit in bloom_bits(topic_id, partition, len(bloom)):
            bloom[bit // 8] |= 1 << bit % 8
    window = struct.pack(">Q", first)
    pairs: list[tuple[bytes, bytes]] = []
    counts = [0, 0, 0, 0]

    def add(section: int, key: bytes, value: bytes) -> None:
        counts[section - 1] += 1
        pairs.append((window + bytes([section]) + key, value))

    most = (VALUE_BYTES_MAX - HEAD) // PARTITION.size
    for at in range(0, len(items), most):
        part = by_partition[at : at + most]
        value = _value(1, len(part), b"".join(map(partition_entry, part)))
        add(1, struct.pack(">QHQ", *partition_of(part[0])), value)
    most = (VALUE_BYTES_MAX - HEAD) // SLOT.size
    for at in range(0, len(items), most):
        part = by_slot[at : at + most]
        value = _value(2, len(part), b"".join(map(slot_entry, part)))
        add(2, struct.pack(">HQ", *slot_of(part[0])), value)
    blocks = _split([bytes(bloom[at : at + BLOCK]) for at in range(0, len(bloom), BLOCK)], 63)
    for number, some in enumerate(blocks):
        add(3, struct.pack(">H", number), _value(3, len(some), b"".join(some)))
    for number, value in enumerate(_snapshots(states(items))):
        add(4, struct.pack(">H", number), value)
    times = [item.envelope.append_ns for item in items] or [0]
    records = sum(item.envelope.records_count for item in items)
    numbers = (first, first + len(log), len(items), records, min(times), max(times), len(bloom))
    header = _value(0, 1, HEADER.pack(*numbers, *counts))
    return [(window + b"\0", header), *pairs]


def find(
    log: list[Stored], topic_id: int, partition: int, *, offset: int = 0, since_ns: int = -(2**63)
) -> list[Stored]:
    """The batches of a partition from the wanted one on, by base offset."""
    own = [
        item
        for item in log
        if (item.envelope.topic_id, item.envelope.partition) == (topic_id, partition)
    ]
    return [
        item
        for item in sorted(own, key=lambda item: item.base)
        if item.base + item.envelope.records_count > offset and item.envelope.append_ns >= since_ns
    ]
