"""What goes in and comes out: messages and receipts.

In: answers of a node. Out: small frozen records. Invariant: ``Message.data`` is byte for byte what
was published. Times are integer milliseconds since the Unix epoch.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """A node's answer to one message: where it lies and which durability was reached.

    ``reached`` is never more than what holds: ``memory``, ``disk``, ``quorum``, ``quorum-disk``;
    ``accepted`` means that the caller asked not to wait. ``is_duplicate``: it was stored by an
    earlier try, and this is that one's place.
    """

    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reached: str
    replicas_count: int = 1
    fsynced_count: int = 0
    is_duplicate: bool = False


class Outgoing(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message to publish, when it is more than bytes. ``ttl_s`` 0: the topic's default."""

    data: bytes
    key: bytes | None = None
    headers: Mapping[str, str | bytes] | None = None
    content_type: str | None = None
    ttl_s: int | None = None
    idempotency_key: str | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """One stored message as it was read.

    ``raw_headers`` keeps order, repetitions and bytes; ``headers`` is the usual view of them.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    data: bytes
    raw_headers: list[tuple[bytes, bytes]]
    ttl_s: int | None = None
    idempotency_key: str | None = None
    content_type: str | None = None

    @property
    def id(self) -> str:
        """The message id, the same on every node and in every tier."""
        return f"{self.topic_id}-{self.partition}-{self.offset}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name; the first of a repeated name. Bytes that are not UTF-8 are escaped."""
        return {
            name.decode(errors="surrogateescape"): value.decode(errors="surrogateescape")
            for name, value in reversed(self.raw_headers)
        }

    @property
    def timestamp(self) -> datetime:
        """``timestamp_ms`` as a datetime in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def text(self) -> str:
        """``data`` as UTF-8; raises UnicodeDecodeError when it is not."""
        return self.data.decode()


class _Binary(msgspec.Struct, frozen=True):
    base64: str


class _Wire(msgspec.Struct, frozen=True):
    """A message as a node writes it in JSON."""

    id: str
    partition: int
    offset: int
    timestamp: str
    topic: str | None = None
    key: str | None = None
    key_base64: str | None = None
    headers: dict[str, str | _Binary] = {}
    content_type: str | None = None
    payload: str | None = None
    base64: str | None = None


class _Gap(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    partition: int
    from_: int
    to: int
    reason: str


class _Page(msgspec.Struct, frozen=True):
    messages: list[_Wire]
    cursor: str
    up_to_date: bool
    gaps: list[_Gap] = []


_PAGE = msgspec.json.Decoder(_Page)


def milliseconds(timestamp: str) -> int:
    """An RFC 3339 time as milliseconds since the Unix epoch; raises ValueError."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def _bytes_of(text: str | None, binary: str | None) -> bytes | None:
    if text is not None:
        return text.encode()
    return None if binary is None else base64.b64decode(binary, validate=True)


def _header(value: str | _Binary) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value.base64)


def _message(wire: _Wire, topic: str) -> Message:
    return Message(
        topic=topic if wire.topic is None else wire.topic,
        topic_id=wire.id.partition("-")[0],
        partition=wire.partition,
        offset=wire.offset,
        timestamp_ms=milliseconds(wire.timestamp),
        key=_bytes_of(wire.key, wire.key_base64),
        data=_bytes_of(wire.payload, wire.base64) or b"",
        raw_headers=[(name.encode(), _header(value)) for name, value in wire.headers.items()],
        content_type=wire.content_type,
    )


def page_of(body: bytes, topic: str) -> tuple[list[Message], str, bool, list[str]]:
    """(messages, cursor, is up to date, gaps) of a JSON read; a gap as ``Sprawl-Gap`` has it.

    Raises msgspec.DecodeError, ValueError.
    """
    page = _PAGE.decode(body)
    gaps = [f"{gap.partition};{gap.from_}-{gap.to};{gap.reason}" for gap in page.gaps]
    messages = [_message(wire, topic) for wire in page.messages]
    return messages, page.cursor, page.up_to_date, gaps
