"""Small values that several rooms speak of.

In: nothing. Out: functions over plain values. Invariant: nothing here reads a clock, a file or
randomness; the caller gives the bytes.
"""

from typing import Final, Literal, get_args

Level = Literal["memory", "disk", "quorum", "quorum-disk"]
"""Durability of a publish, weakest first."""

LEVELS: Final[tuple[Level, ...]] = get_args(Level)

SHORT_ID_CHARS: Final = 8


def node_id_of(random_bytes: bytes) -> str:
    """A node id (the text of a version 4 UUID) made of 16 random bytes."""
    assert len(random_bytes) == 16, "a UUID has 16 bytes"
    marked = bytearray(random_bytes)
    marked[6] = marked[6] & 0x0F | 0x40
    marked[8] = marked[8] & 0x3F | 0x80
    digits = marked.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def short_id(node_id: str) -> str:
    """The first 8 characters, as log lines and people name a node."""
    return node_id[:SHORT_ID_CHARS]
