"""Ids, slots and cursors, slowly and plainly: the twin of ``native/core/src/{ids,cursor}.rs``.

In: names and numbers. Out: text and numbers, made with the standard library's base32 and base64
and the Python package ``xxhash``, none of which the node uses for them.
"""

import base64
import re
import struct

import xxhash

CURSOR_ENTRY = struct.Struct("<QHIQ")
TOPIC = re.compile(r"[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*", re.ASCII)


def slot_of(name: str, partition: int) -> int:
    """The top 12 bits of XXH3-64(name, 0x00, u32le partition)."""
    return xxhash.xxh3_64_intdigest(name.encode() + b"\0" + struct.pack("<I", partition)) >> 52


def partition_of_key(key: bytes, partitions: int) -> int:
    """XXH3-64(key) modulo the count of partitions."""
    return xxhash.xxh3_64_intdigest(key) % partitions


def topic_id_text(topic_id: int) -> str:
    """Base32 of the 8 big-endian bytes, lowercase, no padding."""
    return base64.b32encode(topic_id.to_bytes(8, "big")).decode().lower().rstrip("=")


def is_topic(name: str) -> bool:
    """Whether a client may name a topic so."""
    return len(name.encode()) <= 249 and TOPIC.fullmatch(name) is not None


def cursor_encode(entries: list[tuple[int, int, int, int]]) -> str:
    """Version, sorted entries, low half of XXH3-64, as base64url without padding."""
    body = b"\x01" + b"".join(CURSOR_ENTRY.pack(*entry) for entry in sorted(entries))
    check = (xxhash.xxh3_64_intdigest(body) & 0xFFFFFFFF).to_bytes(4, "little")
    return base64.urlsafe_b64encode(body + check).decode().rstrip("=")


def cursor_decode(text: str) -> list[tuple[int, int, int, int]]:
    """The entries; ValueError for a damaged cursor."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    body, check = data[:-4], data[-4:]
    if (xxhash.xxh3_64_intdigest(body) & 0xFFFFFFFF).to_bytes(4, "little") != check:
        raise ValueError("check")
    return [(a, b, c, d) for a, b, c, d in CURSOR_ENTRY.iter_unpack(body[1:])]
