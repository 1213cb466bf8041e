"""One message as a request, one answer as a receipt.

In: messages, answers. Out: requests, receipts. Invariant: a message arrives as it was given: what
HTTP headers cannot carry byte for byte (a key or header that is not plain ASCII, a name with upper
case) travels as a batch of one record.
"""

import re
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec
from xxhash import xxh3_64_intdigest

from sprawl._hot.collect import Delivery
from sprawl.client.codec import encode_batch, headers_of
from sprawl.client.http import Request, Response
from sprawl.client.lane import placed_of
from sprawl.client.message import Outgoing, Receipt, milliseconds
from sprawl.errors import SprawlError, error_for

_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def publish_request(
    topic: str,
    message: Outgoing,
    *,
    durability: str | None,
    partition: int | None,
    if_match: int | None,
) -> Request:
    """The request that publishes ``message``, which has its idempotency key.

    A message that does not fit headers needs its ``partition`` when the topic has several: a node
    does not look into batches. Raises InvalidRequest, TooLarge.
    """
    assert message.idempotency_key is not None
    checked = headers_of(
        message.headers, message.content_type, message.ttl_s, message.idempotency_key
    )
    headers: list[tuple[str, str]] = []
    if durability is not None:
        headers.append(("Sprawl-Durability", durability))
    if partition is not None:
        headers.append(("Sprawl-Partition", str(partition)))
    if if_match is not None:
        headers.append(("If-Match", f'"{if_match}"'))
    target = f"/v1/topics/{quote(topic, safe='')}/messages"
    if not fits_headers(message):
        headers.append(("Content-Type", "application/x-sprawl-batch"))
        now_ms = time.time_ns() // 1_000_000
        # A node tells repeated batches by their producer: one made of the key stands for it.
        source = f"{topic}\0{message.idempotency_key}".encode()
        identity = (xxh3_64_intdigest(source) >> 1, 0, 0)
        body = encode_batch([(message.key, message.data, checked, now_ms)], 0, identity)
        return Request("POST", target, tuple(headers), body)
    if message.content_type is not None:
        headers.append(("Content-Type", message.content_type))
    if message.key is not None:
        headers.append(("Sprawl-Key", message.key.decode("ascii")))
    if message.ttl_s:
        headers.append(("Sprawl-TTL", str(message.ttl_s)))
    headers.append(("Idempotency-Key", message.idempotency_key))
    for name, value in (message.headers or {}).items():
        headers.append((f"Sprawl-Header-{name}", _text(value)))
    return Request("POST", target, tuple(headers), message.data)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii")


def fits_headers(message: Outgoing) -> bool:
    """Whether key, headers and types survive HTTP's own rules for headers."""
    values = [message.key] if message.key is not None else []
    values += [
        value.encode() if isinstance(value, str) else value
        for value in (
            message.idempotency_key,
            message.content_type,
            *(message.headers or {}).values(),
        )
        if value is not None
    ]
    return (
        message.content_type not in _SPECIAL
        and all(map(_VALUE.fullmatch, values))
        and all(map(_NAME.fullmatch, message.headers or ()))
    )


# Content types that a publish gives a meaning of its own, so a message cannot have them as its own.
_SPECIAL: Final = (
    "application/vnd.sprawl.messages+json",
    "application/x-ndjson",
    "application/x-sprawl-batch",
)


class _Durability(msgspec.Struct, frozen=True):
    reached: str
    replicas: int = 1
    fsynced: int = 0


class _Receipt(msgspec.Struct, frozen=True):
    id: str
    partition: int
    offset: int
    timestamp: str
    durability: _Durability


_RECEIPT = msgspec.json.Decoder(_Receipt)


def receipt_of(response: Response, topic: str) -> Receipt:
    """The receipt of a single publish, in either form. Raises BadAnswer."""
    is_duplicate = response.headers.get("sprawl-duplicate") == "true"
    try:
        receipt = _RECEIPT.decode(response.body)
        timestamp_ms = milliseconds(receipt.timestamp)
    except (msgspec.DecodeError, ValueError):
        return placed_of(response).receipt(topic, 0)
    return Receipt(
        id=receipt.id,
        topic=topic,
        partition=receipt.partition,
        offset=receipt.offset,
        timestamp_ms=timestamp_ms,
        reached=receipt.durability.reached,
        replicas_count=receipt.durability.replicas,
        fsynced_count=receipt.durability.fsynced,
        is_duplicate=is_duplicate,
    )


async def batch_receipts(deliveries: Sequence[Delivery]) -> list[Receipt]:
    """The receipts in order. Raises the first error, with every result in its members."""
    results: list[Receipt | SprawlError] = []
    for delivery in deliveries:
        try:
            results.append(await delivery)
        except SprawlError as error:
            results.append(error)
    first = next((result for result in results if isinstance(result, SprawlError)), None)
    if first is not None:
        raise error_for(
            first.code,
            first.detail,
            first.location,
            retry_after_s=first.retry_after_s,
            members={**first.members, "results": results},
        ) from first
    return [result for result in results if isinstance(result, Receipt)]
