"""A producer's batch: messages that travel together, and what became of them.

In: records, later one result per part. Out: receipts by position. Invariants: every part ends with
exactly one result; positions keep the order of publishing. A batch is one part, unless its topic
has several partitions: then one part per partition.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from sprawl._hot.collect import Collected, Delivery
from sprawl.client.message import Receipt
from sprawl.errors import SprawlError

Record = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes]] | None, int]
"""(key, value, headers, timestamp in ms): what the encoder takes."""


class Placed(NamedTuple):
    """A node's answer to one part."""

    topic_id: str
    partition: int
    base_offset: int
    timestamp_ms: int
    reached: str
    replicas_count: int
    fsynced_count: int
    is_duplicate: bool

    def receipt(self, topic: str, position: int) -> Receipt:
        """The receipt of the message at ``position`` of the part."""
        offset = self.base_offset + position
        return Receipt(
            id=f"{self.topic_id}-{self.partition}-{offset}" if self.topic_id else "",
            topic=topic,
            partition=self.partition,
            offset=offset,
            timestamp_ms=self.timestamp_ms,
            reached=self.reached,
            replicas_count=self.replicas_count,
            fsynced_count=self.fsynced_count,
            is_duplicate=self.is_duplicate,
        )


class Part:
    """The records of one batch that go to one partition (None: the node chooses)."""

    __slots__ = ("batch", "partition", "records", "result")

    def __init__(self, batch: "Batch", records: list[Record], partition: int | None) -> None:
        self.batch: Final = batch
        self.partition: Final = partition
        self.records: Final = records
        self.result: Placed | SprawlError | None = None

    def settle(self, result: Placed | SprawlError) -> None:
        """Ends the part; the last part of a batch ends the batch."""
        assert self.result is None
        self.result = result
        self.batch.part_settled()


class Batch(Collected):
    """Messages of one topic, collected and sent together."""

    __slots__ = ("_callbacks", "_on_done", "_waiters", "parts", "places")

    def __init__(self, topic: str, timestamp_ms: int, on_done: Callable[["Batch"], None]) -> None:
        super().__init__(topic, timestamp_ms)
        self.parts: list[Part] = []
        self.places: list[tuple[int, int]] | None = None
        self._on_done = on_done
        self._waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[tuple[Callable[[Delivery], object], Delivery]] = []

    @property
    def is_done(self) -> bool:
        """Whether every part has its result."""
        return not self.open_count

    @property
    def error(self) -> SprawlError | None:
        """The first error of its parts."""
        results = [part.result for part in self.parts]
        return next((r for r in results if isinstance(r, SprawlError)), None)

    def divide(self, partition_of: Callable[[bytes | None], int] | None) -> list[Part]:
        """Makes the parts: one of everything, or one per partition that ``partition_of`` names."""
        if partition_of is None:
            self.parts = [Part(self, self.records, None)]
        else:
            found: dict[int, Part] = {}
            numbers: dict[int, int] = {}
            self.places = []
            for record in self.records:
                partition = partition_of(record[0])
                part = found.get(partition)
                if part is None:
                    part = found[partition] = Part(self, [], partition)
                    numbers[partition] = len(numbers)
                self.places.append((numbers[partition], len(part.records)))
                part.records.append(record)
            self.parts = list(found.values())
        self.open_count = len(self.parts)
        return self.parts

    def part_settled(self) -> None:
        """Counts one result down; wakes everybody after the last."""
        self.open_count -= 1
        if self.open_count:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        loop = asyncio.get_running_loop()
        for callback, delivery in self._callbacks:
            loop.call_soon(callback, delivery)
        self._callbacks.clear()
        self._on_done(self)

    def fail(self, error: SprawlError) -> None:
        """Ends a batch that was never sent."""
        for part in self.divide(None):
            part.settle(error)

    def result_of(self, index: int) -> Receipt | SprawlError:
        """What became of the message at ``index`` of a batch that is done."""
        number, position = (0, index) if self.places is None else self.places[index]
        result = self.parts[number].result
        if not isinstance(result, Placed):
            assert result is not None
            return result
        return result.receipt(self.topic, position)

    def wait(self) -> "asyncio.Future[None]":
        """A future of the caller's own (it may be cancelled) that ends with the batch."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.open_count:
            self._waiters.append(waiter)
        else:
            waiter.set_result(None)
        return waiter

    def call(self, callback: "Callable[[Delivery], object]", delivery: "Delivery") -> None:
        """Calls ``callback`` from the loop once the batch is done."""
        if self.open_count:
            self._callbacks.append((callback, delivery))
        else:
            asyncio.get_running_loop().call_soon(callback, delivery)
