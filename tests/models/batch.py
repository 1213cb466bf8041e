"""RecordBatch v2, slowly and plainly: the twin of ``native/core/src/batch``.

In: records or bytes. Out: bytes or records, uncompressed or gzip. Source: Apache Kafka's message
format, magic 2 (big-endian header, zigzag varints in the records, CRC32C from the attributes on).
Raises ValueError for bytes that are no batch.
"""

import gzip
import struct
from dataclasses import dataclass, field

HEADER = struct.Struct(">qiibIhiqqqhii")
CHECKED_FROM = 21
CONTENT_TYPES = (
    "text/plain",
    "text/plain;charset=utf-8",
    "application/json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/xml",
    "text/html",
    "application/cloudevents+json",
)


@dataclass
class Record:
    """One record; the last three are its reserved headers."""

    timestamp_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    ttl_s: int | None = None
    idempotency_key: str | None = None
    content_type: str | None = None

    def stored_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they stand in the bytes: reserved ones first, by name."""
        reserved = []
        if self.ttl_s is not None:
            reserved.append((b"\x01", self.ttl_s.to_bytes(4, "big")))
        if self.idempotency_key is not None:
            reserved.append((b"\x02", self.idempotency_key.encode()))
        if self.content_type is not None:
            is_coded = self.content_type in CONTENT_TYPES
            code = bytes([CONTENT_TYPES.index(self.content_type) + 1]) if is_coded else b""
            reserved.append((b"\x03", code or self.content_type.encode("ascii")))
        return reserved + self.headers


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC_OF_BYTE = [_crc_of_byte(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, byte by byte."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Zigzag, then base 128 with the least significant group first."""
    rest = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def prefixed(data: bytes | None) -> bytes:
    """Length and bytes; -1 for null."""
    return varint(-1) if data is None else varint(len(data)) + data


def encode(
    records: list[Record],
    base_offset: int = 0,
    leader_epoch: int = 0,
    producer: tuple[int, int, int] = (-1, -1, -1),
    codec: int = 0,
) -> bytes:
    """A batch of records with dense offsets; codec 0 (none) or 1 (gzip)."""
    base_ms = records[0].timestamp_ms
    body = b""
    for index, record in enumerate(records):
        headers = record.stored_headers()
        parts = b"\0" + varint(record.timestamp_ms - base_ms) + varint(index)
        parts += prefixed(record.key) + prefixed(record.value) + varint(len(headers))
        parts += b"".join(prefixed(name) + prefixed(value) for name, value in headers)
        body += varint(len(parts)) + parts
    if codec == 1:
        body = gzip.compress(body, mtime=0)
    max_ms = max(record.timestamp_ms for record in records)
    last = len(records) - 1
    numbers = (codec, last, base_ms, max_ms, *producer, len(records))
    length = HEADER.size - 12 + len(body)
    head = HEADER.pack(base_offset, length, leader_epoch, 2, 0, *numbers)
    crc = crc32c(head[CHECKED_FROM:] + body)
    return HEADER.pack(base_offset, length, leader_epoch, 2, crc, *numbers) + body


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"{count} bytes at {self.at} are not there")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value >> 1 ^ -(value & 1)

    def nullable(self) -> bytes | None:
        length = self.varint()
        return None if length == -1 else self.take(length)


def _record(reader: _Reader, base_ms: int) -> tuple[int, Record]:
    inner = _Reader(reader.take(reader.varint()))
    if inner.take(1) != b"\0":
        raise ValueError("record attributes")
    timestamp_ms = base_ms + inner.varint()
    delta = inner.varint()
    record = Record(timestamp_ms, inner.nullable(), inner.nullable())
    for _ in range(inner.varint()):
        name, value = inner.take(inner.varint()), inner.nullable() or b""
        match name:
            case b"\x01":
                record.ttl_s = int.from_bytes(value, "big")
            case b"\x02":
                record.idempotency_key = value.decode()
            case b"\x03":
                is_coded = len(value) == 1 and value[0] < 0x20
                record.content_type = CONTENT_TYPES[value[0] - 1] if is_coded else value.decode()
            case _:
                record.headers.append((name, value))
    if inner.at != len(inner.data):
        raise ValueError("bytes after a record")
    return delta, record


def decode(data: bytes) -> list[tuple[int, Record]]:
    """(offset, record) of whole batches back to back."""
    out: list[tuple[int, Record]] = []
    while data:
        if len(data) < HEADER.size:
            raise ValueError("incomplete header")
        base, counted, _, magic, crc, attributes, _, base_ms, *_, count = HEADER.unpack_from(data)
        batch, data = data[: counted + 12], data[counted + 12 :]
        if len(batch) != counted + 12 or magic != 2 or crc != crc32c(batch[CHECKED_FROM:]):
            raise ValueError("no whole batch")
        body = batch[HEADER.size :]
        reader = _Reader(gzip.decompress(body) if attributes & 7 == 1 else body)
        for _ in range(count):
            delta, record = _record(reader, base_ms)
            out.append((base + delta, record))
    return out
