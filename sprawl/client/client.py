"""The front of the client: one object for a cluster.

In: urls. Out: receipts, readers, producers. Invariant: everything opened here ends with ``close``.
"""

import asyncio
import random
import secrets
import weakref
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from sprawl.client import bounds
from sprawl.client.address import Address
from sprawl.client.caller import Caller
from sprawl.client.http import Request
from sprawl.client.message import Outgoing, Receipt
from sprawl.client.partitions import Partitions
from sprawl.client.producer import OnFull, Producer
from sprawl.client.publish import batch_receipts, fits_headers, publish_request, receipt_of
from sprawl.client.reader import OnGap, Reader
from sprawl.client.retry import Retry
from sprawl.client.routing import partition_of
from sprawl.client.topics import Topics
from sprawl.errors import BadAnswer, InvalidRequest


class Client:
    """A client of the nodes at ``urls`` (one, a comma list, or several); use ``async with``.

    The first url that works is used, the others when it does not. ``timeout_s`` bounds each call
    with all its retries. Nothing is connected before the first call. One client serves one loop.
    """

    def __init__(
        self,
        urls: str | Iterable[str] = "http://localhost:8080",
        *,
        timeout_s: float = bounds.CALL_TIMEOUT_S,
        tries_max: int = bounds.TRIES_MAX,
        answer_timeout_s: float = bounds.ANSWER_TIMEOUT_S,
        rng: random.Random | None = None,
    ) -> None:
        self._caller = Caller(
            urls,
            retry=Retry(tries_max=tries_max, timeout_s=timeout_s),
            answer_timeout_s=answer_timeout_s,
            rng=rng or random.Random(secrets.randbits(128)),  # noqa: S311 - jitter and ids
        )
        self._partitions = Partitions(self._caller)
        self._producers: weakref.WeakSet[Producer] = weakref.WeakSet()
        self._batchers: dict[str | None, Producer] = {}
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._key_prefix = secrets.token_urlsafe(12)
        self._keys_count = 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The nodes, in the order given."""
        return self._caller.addresses

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def publish(
        self,
        topic: str,
        data: bytes | str,
        *,
        key: bytes | str | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        content_type: str | None = None,
        ttl_s: int | None = None,
        durability: str | None = None,
        idempotency_key: str | None = None,
        partition: int | None = None,
        if_match: int | None = None,
    ) -> Receipt:
        """Publishes one message and returns once its durability is reached.

        ``if_match``: append only if the partition's last offset is this (else PreconditionFailed).
        Without ``idempotency_key`` one is made, so a retry never stores a second copy. Raises
        SprawlError; ``outcome`` says whether the message may be stored all the same.
        """
        outgoing = Outgoing(
            data=_bytes_of(data),
            key=None if key is None else _bytes_of(key),
            headers=headers,
            content_type=content_type,
            ttl_s=ttl_s,
            idempotency_key=idempotency_key or self._next_key(),
        )
        if partition is None and not fits_headers(outgoing):
            count = await self._partitions.count(topic)
            name = str(outgoing.idempotency_key).encode() if outgoing.key is None else outgoing.key
            partition = partition_of(name, count) if count > 1 else None
        request = publish_request(
            topic, outgoing, durability=durability, partition=partition, if_match=if_match
        )
        return receipt_of(await self._caller.call(request), topic)

    async def publish_batch(
        self,
        topic: str,
        messages: Sequence[bytes | str | Outgoing],
        *,
        durability: str | None = None,
    ) -> list[Receipt]:
        """Publishes messages together and returns their receipts in order.

        Messages of one partition keep their order. Raises the first error when any message failed;
        its ``members["results"]`` holds for each message its receipt or its error.
        """
        outgoing = [m if isinstance(m, Outgoing) else Outgoing(data=_bytes_of(m)) for m in messages]
        producer = self._batchers.get(durability)
        if producer is None:
            producer = self._batchers[durability] = self.producer(durability=durability)
        deliveries = [
            await producer.publish(
                topic,
                message.data,
                key=message.key,
                headers=message.headers,
                content_type=message.content_type,
                ttl_s=message.ttl_s,
                idempotency_key=message.idempotency_key,
            )
            for message in outgoing
        ]
        producer.send()
        return await batch_receipts(deliveries)

    def producer(
        self,
        *,
        linger_ms: float = bounds.PRODUCER_LINGER_MS,
        max_batch_bytes: int = bounds.PRODUCER_BATCH_BYTES,
        max_in_flight: int = bounds.PRODUCER_IN_FLIGHT_MAX,
        on_full: OnFull = "block",
        durability: str | None = None,
        compression: str = "none",
    ) -> Producer:
        """A batching producer: ``async with c.producer() as p: p.publish_nowait(topic, data)``."""
        producer = Producer(
            self._caller,
            self._partitions,
            linger_ms=linger_ms,
            max_batch_bytes=max_batch_bytes,
            max_in_flight=max_in_flight,
            on_full=on_full,
            durability=durability,
            compression=compression,
        )
        self._producers.add(producer)
        return producer

    def read(
        self,
        topic: str,
        *,
        from_: str = "earliest",
        partition: int | None = None,
        follow: bool = True,
        limit: int | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        on_gap: OnGap = "raise",
    ) -> Reader:
        """Messages of a topic or pattern, ``async for message in c.read(topic)``.

        ``from_``: ``earliest``, ``latest``, ``offset:N``, ``time:RFC3339``, ``-10m``, ``cursor:C``.
        With ``follow`` it waits for new messages for ever and reconnects by itself; without, it
        ends at the present end. ``on_gap="skip"`` goes on after messages that retention removed.
        """
        reader = Reader(
            self._caller,
            self._partitions,
            topic,
            from_=from_,
            partition=partition,
            follow=follow,
            limit=limit,
            key=key,
            headers=headers,
            on_gap=on_gap,
        )
        self._readers.add(reader)
        return reader

    def topics(self) -> Topics:
        """Administration of topics."""
        return Topics(self._caller)

    async def get(self, path: str) -> object:
        """The decoded JSON of any ``GET`` route of a node, for example ``/v1/node``."""
        if not path.startswith("/"):
            raise InvalidRequest(f'path "{path}" does not begin with /', code="invalid_parameter")
        response = await self._caller.call_alone(Request("GET", path))
        try:
            return msgspec.json.decode(response.body)
        except msgspec.DecodeError as error:
            raise BadAnswer(f"answer of {path} is no JSON: {error}") from error

    async def post(self, path: str, body: object) -> object:
        """As ``get``, for a ``POST`` of JSON that may be repeated without harm."""
        headers = (("Content-Type", "application/json"),)
        encoded = msgspec.json.encode(body)
        response = await self._caller.call_alone(Request("POST", path, headers, encoded))
        try:
            return msgspec.json.decode(response.body)
        except msgspec.DecodeError as error:
            raise BadAnswer(f"answer of {path} is no JSON: {error}") from error

    async def close(self) -> None:
        """Ends producers (unflushed messages fail with ``closed``), readers and connections."""
        for producer in list(self._producers):
            await producer.close()
        for reader in list(self._readers):
            await reader.aclose()
        self._caller.close()
        await asyncio.sleep(0)  # lets the transports end in this loop

    def _next_key(self) -> str:
        self._keys_count += 1
        return f"{self._key_prefix}{self._keys_count:x}"


def _bytes_of(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)
