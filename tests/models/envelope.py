"""The log's envelope, slowly and plainly: the twin of ``native/core/src/envelope.rs``.

In: fields and a batch, or bytes. Out: little-endian bytes, or fields. The hash is XXH3-64 of the
Python package ``xxhash``, an implementation that the node does not use here.
"""

import struct
from dataclasses import astuple, dataclass

import xxhash

HEAD = struct.Struct("<IBBHQ")
REST = struct.Struct("<IHHQQqqII")
LENGTH = HEAD.size + REST.size
VERSION = 1


@dataclass(frozen=True)
class Envelope:
    """The fields, in the order in which ``decode_envelopes`` gives them."""

    kind: int
    slot: int
    epoch: int
    partition: int
    sequence: int
    topic_id: int
    append_ns: int
    expiry_ns: int
    records_count: int


def seal(envelope: Envelope, batch: bytes) -> bytes:
    """The envelope's bytes followed by the batch."""
    kind, slot, epoch, partition, *numbers, count = astuple(envelope)
    rest = REST.pack(epoch, partition, 0, *numbers, count, 0) + batch
    length = HEAD.size + len(rest)
    seed = int.from_bytes(HEAD.pack(length, VERSION, kind, slot, 0)[:8], "little")
    return HEAD.pack(length, VERSION, kind, slot, xxhash.xxh3_64_intdigest(rest, seed)) + rest


def check(data: bytes) -> tuple[Envelope, bytes]:
    """The first envelope and its batch; ValueError unless it is whole and holds."""
    length, version, kind, slot, checksum = HEAD.unpack_from(data)
    rest = data[HEAD.size : length]
    seed = int.from_bytes(data[:8], "little")
    if len(data) < length or version != VERSION:
        raise ValueError("no whole envelope of this version")
    if xxhash.xxh3_64_intdigest(rest, seed) != checksum:
        raise ValueError("checksum")
    epoch, partition, spare, sequence, topic_id, *times, count, spare_too = REST.unpack_from(rest)
    if spare or spare_too:
        raise ValueError("spare bytes")
    append_ns, expiry_ns = times
    fields = (kind, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns, count)
    return Envelope(*fields), rest[REST.size :]
