"""Facade of the compiled batch and cursor codecs.

In: records, bytes. Out: bytes, records. Invariant: the only module of this room that imports
``sprawl._native``. Source: Apache Kafka's RecordBatch v2; the cursor format of the API.
"""

from collections.abc import Mapping
from typing import Final

from sprawl import limits
from sprawl._native import (
    cursor_decode,
    cursor_encode,
    decode_batches,
    encode_batch,
    topic_id_text,
)
from sprawl.errors import InvalidRequest, TooLarge

__all__ = [
    "CODECS",
    "cursor_decode",
    "cursor_encode",
    "decode_batches",
    "encode_batch",
    "headers_of",
    "topic_id_text",
]

CODECS: Final[Mapping[str, int]] = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Compression of a batch by name, as Kafka numbers it."""

TTL: Final = b"\x01"
IDEMPOTENCY_KEY: Final = b"\x02"
CONTENT_TYPE: Final = b"\x03"
_RESERVED_MAX: Final = 0x1F

_CONTENT_TYPES: Final = (
    "text/plain",
    "text/plain;charset=utf-8",
    "application/json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/xml",
    "text/html",
    "application/cloudevents+json",
)
_CODES: Final = {text: bytes([code]) for code, text in enumerate(_CONTENT_TYPES, start=1)}


def headers_of(
    headers: Mapping[str, str | bytes] | None,
    content_type: str | None,
    ttl_s: int | None,
    idempotency_key: str | None,
) -> list[tuple[bytes, bytes]] | None:
    """The record headers of a message, the reserved ones first; None when there are none.

    Everything is checked here, so that one wrong message cannot spoil the batch it would be in.
    Raises InvalidRequest, TooLarge.
    """
    found: list[tuple[bytes, bytes]] = []
    if ttl_s:
        if not 0 < ttl_s <= limits.TTL_S_MAX:
            raise InvalidRequest(
                f"ttl of {ttl_s} s is outside 0 to {limits.TTL_S_MAX}", code="invalid_parameter"
            )
        found.append((TTL, ttl_s.to_bytes(4, "big")))
    if idempotency_key is not None:
        found.append((IDEMPOTENCY_KEY, _checked_key(idempotency_key)))
    if content_type is not None:
        found.append((CONTENT_TYPE, _checked_type(content_type)))
    if headers:
        found += _checked(headers)
    return found or None


def _checked_key(text: str) -> bytes:
    key = text.encode()
    if not 1 <= len(key) <= limits.IDEMPOTENCY_KEY_BYTES_MAX:
        raise InvalidRequest(
            f"idempotency key of {len(key)} bytes is outside 1 to "
            f"{limits.IDEMPOTENCY_KEY_BYTES_MAX}",
            code="invalid_parameter",
        )
    return key


def _checked_type(text: str) -> bytes:
    if not (text.isascii() and text.isprintable()) or not (
        1 < len(text) <= limits.CONTENT_TYPE_BYTES_MAX
    ):
        raise InvalidRequest(
            f"content type of {len(text)} characters is not ASCII text of 2 to "
            f"{limits.CONTENT_TYPE_BYTES_MAX}",
            code="invalid_parameter",
        )
    return _CODES.get(text) or text.encode()


def _checked(headers: Mapping[str, str | bytes]) -> list[tuple[bytes, bytes]]:
    found = []
    for name, value in headers.items():
        raw = name.encode()
        if not raw or (len(raw) == 1 and raw[0] <= _RESERVED_MAX):
            raise InvalidRequest(f"header name {name!r} is reserved", code="invalid_header")
        found.append((raw, value.encode() if isinstance(value, str) else bytes(value)))
    size = sum(len(name) + len(value) for name, value in found)
    if len(found) > limits.RECORD_HEADERS_COUNT_MAX or size > limits.RECORD_HEADERS_BYTES_MAX:
        raise TooLarge(
            f"{len(found)} headers of {size} bytes exceed {limits.RECORD_HEADERS_COUNT_MAX} of "
            f"{limits.RECORD_HEADERS_BYTES_MAX}"
        )
    return found
