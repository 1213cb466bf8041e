"""Bindings of the Rust crate ``sprawl-core``; see the facades that own each type."""

from typing import TypeAlias

__version__: str

# codec

# offset, timestamp_ms, key, value (None: null), headers, ttl_s, idempotency_key, content_type
_Record: TypeAlias = tuple[
    int,
    int,
    bytes | None,
    bytes | None,
    list[tuple[bytes, bytes]],
    int | None,
    str | None,
    str | None,
]

def encode_batch(
    records: list[tuple[bytes | None, bytes | None, list[tuple[bytes, bytes]] | None, int]],
    codec: int = 0,
    producer: tuple[int, int, int] | None = None,
) -> bytes:
    """One RecordBatch v2 of (key, value, headers, timestamp_ms), base offset and leader epoch 0.

    Headers named 0x01 (ttl, 4 bytes), 0x02 (idempotency key) and 0x03 (content type) are the
    reserved ones and are checked as such. Codecs: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; records
    that a reader would refuse to inflate, or that do not shrink, are written as they are.
    ``producer`` is (id, epoch, sequence of the first record). Raises SprawlError (``invalid_batch``,
    ``too_large``, ``unsupported_media_type``).
    """

def decode_batches(data: bytes) -> list[_Record]:
    """The records of whole batches back to back; checksums hold, inflated sizes are bounded.

    Raises SprawlError (``invalid_batch``, ``bad_checksum``, ``too_large``,
    ``unsupported_media_type``).
    """

def verify_batches(data: bytes) -> list[tuple[int, int, int | None, bool]]:
    """(length, records, smallest ttl in seconds, is compressed) of whole producers' batches.

    What passes here is appended by a node as it is. Raises SprawlError as ``decode_batches``.
    """

def encode_envelope(
    batch: bytes,
    *,
    slot: int,
    epoch: int,
    partition: int,
    sequence: int,
    topic_id: int,
    append_ns: int,
    expiry_ns: int = 0,
    records_count: int,
    kind: int = 1,
) -> bytes:
    """``batch`` behind its sealed envelope. Raises SprawlError for a kind or slot that is none."""

def decode_envelopes(
    data: bytes,
) -> tuple[list[tuple[int, int, int, int, int, int, int, int, int, bytes]], int]:
    """The whole envelopes at the start of ``data`` and the bytes they take; the rest is incomplete.

    Each is (kind, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns, records_count,
    batch). Raises SprawlError (``invalid_batch``) for bytes that can never become an envelope.
    """

def slot_of(name: str, partition: int) -> int:
    """The slot (0 to 4095) of a topic's partition; fixed for ever."""

def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition of a key among ``partitions`` (at least 1); fixed for ever."""

def topic_id_text(topic_id: int) -> str:
    """A topic id as 13 characters of lowercase base32."""

def topic_id_parse(text: str) -> int | None:
    """The id that ``topic_id_text`` wrote, or None."""

def check_topic(name: str) -> None:
    """Raises SprawlError (``invalid_topic``) unless a client may name a topic so."""

def message_id(topic_id: int, partition: int, number: int, is_delayed: bool = False) -> str:
    """``{topic id}-{partition}-{offset}``, or ``…-d{number}`` of a delayed message."""

def message_id_parse(text: str) -> tuple[int, int, int, bool]:
    """The arguments of ``message_id``. Raises SprawlError (``invalid_parameter``)."""

def cursor_encode(entries: list[tuple[int, int, int, int]]) -> str:
    """The cursor over (topic_id, partition, epoch, next offset), at most 64, in any order.

    Raises SprawlError (``too_many_partitions``, ``invalid_cursor`` for a partition twice).
    """

def cursor_decode(text: str) -> list[tuple[int, int, int, int]]:
    """The entries by topic id and partition. Raises SprawlError (``invalid_cursor``)."""
