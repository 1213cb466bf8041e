"""The batching producer: many messages, few requests.

In: messages, one call each. Out: a ``Delivery`` per message. Invariants: messages of one partition
are stored in the order of their calls, each once; at most ``max_in_flight`` are unanswered; nothing
is dropped without an error on its delivery. A batch leaves after ``linger_ms`` or when it is full.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Final, Literal, Self

from sprawl import limits
from sprawl._hot.collect import Collector, Delivery
from sprawl.client import bounds
from sprawl.client.batch import Batch
from sprawl.client.caller import Caller
from sprawl.client.codec import CODECS, headers_of
from sprawl.client.lane import Lane
from sprawl.client.partitions import Partitions
from sprawl.client.routing import partition_of
from sprawl.errors import Closed, InvalidRequest, QueueFull, SprawlError, TooLarge

OnFull = Literal["block", "raise", "drop"]

# Lanes that hold a connection at once; more wait for their turn.
_BUSY_LANES_MAX: Final = 64


def _ignore(batch: Batch) -> None:
    """A refused message was never in flight."""


def _bytes_of(data: object) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"data is {type(data).__name__}, it takes bytes")


def _checked_bytes(key: bytes | None, extra: list[tuple[bytes, bytes]] | None) -> int:
    """Bytes of key and headers. Raises TooLarge, TypeError."""
    size = 0
    if key is not None:
        if not isinstance(key, bytes):
            raise TypeError(f"key is {type(key).__name__}, it takes bytes")
        size = len(key)
        if size > limits.KEY_BYTES_MAX:
            raise TooLarge(f"key of {size} bytes exceeds {limits.KEY_BYTES_MAX}")
    for name, value in extra or ():
        size += len(name) + len(value) + 8
    return size


class Producer(Collector[Batch]):
    """Collects messages into batches; made by ``Client.producer`` and used by ``async with``.

    Leaving the block flushes; leaving it by an exception gives up what is unanswered (its
    deliveries fail with ``closed``).
    """

    def __init__(
        self,
        caller: Caller,
        partitions: Partitions,
        *,
        linger_ms: float,
        max_batch_bytes: int,
        max_in_flight: int,
        on_full: OnFull,
        durability: str | None,
        compression: str,
    ) -> None:
        if not 1 <= max_batch_bytes <= limits.BATCH_BYTES_MAX // 2 or max_in_flight < 1:
            raise InvalidRequest(
                f"max_batch_bytes {max_batch_bytes} is outside 1 to {limits.BATCH_BYTES_MAX // 2}, "
                f"or max_in_flight {max_in_flight} below 1",
                code="invalid_parameter",
            )
        if compression not in CODECS or on_full not in {"block", "raise", "drop"}:
            raise InvalidRequest(
                f'compression "{compression}" is not one of {", ".join(CODECS)}, '
                f'or on_full "{on_full}" not one of block, raise, drop',
                code="invalid_parameter",
            )
        super().__init__(
            room=max_in_flight,
            batch_bytes_max=max_batch_bytes,
            batch_records_max=limits.BATCH_RECORDS_MAX,
            record_overhead_bytes=bounds.RECORD_OVERHEAD_BYTES,
        )
        self.dropped_count = 0
        self._caller = caller
        self._partitions = partitions
        self._linger_s = linger_ms / 1000
        self._in_flight_max = max_in_flight
        self._on_full = on_full
        self._durability = durability
        self._codec = CODECS[compression]
        self._closed: dict[str, deque[Batch]] = {}
        self._lanes: dict[tuple[str, int | None], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_BUSY_LANES_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._first_error: SprawlError | None = None
        self._sticky = 0
        self._is_closed = False
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                await self.flush()
            finally:
                await self.close()
        else:
            await self.close()

    async def publish(
        self,
        topic: str,
        data: bytes,
        *,
        key: bytes | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        content_type: str | None = None,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> Delivery:
        """As ``publish_nowait``, but with ``on_full="block"`` it waits for room first.

        Returns when the message is queued; await the delivery for its receipt.
        """
        if self._on_full == "block":
            await self.ready()
        return self.publish_nowait(
            topic,
            data,
            key=key,
            headers=headers,
            content_type=content_type,
            ttl_s=ttl_s,
            idempotency_key=idempotency_key,
        )

    async def ready(self) -> int:
        """Waits until there is room; how many messages ``publish_nowait`` takes now."""
        while self.room <= 0 and not self._is_closed:
            self.send()
            await self._wait()
        return self.room

    async def flush(self) -> None:
        """Sends everything now and waits until every message has its answer.

        After return all of them reached their durability. Raises the first error met since the
        last flush; each delivery has its own.
        """
        self.send()
        while self.room < self._in_flight_max:
            await self._wait()
        error, self._first_error = self._first_error, None
        if error is not None:
            raise error

    async def close(self) -> None:
        """Gives up what is unanswered. Call ``flush`` first to keep it."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closed = Closed("the producer was closed before the answer")
        for lane in self._lanes.values():
            lane.fail(closed)
        left = [*self.open.values(), *(b for queue in self._closed.values() for b in queue)]
        self.open.clear()
        self._closed.clear()
        for batch in left:
            batch.fail(closed)

    # --- collecting ---

    def begin(self, topic: str) -> Batch:
        """Opens a batch of ``topic``. Raises Closed."""
        if self._is_closed:
            raise Closed("the producer is closed")
        batch = Batch(topic, time.time_ns() // 1_000_000, self._batch_done)
        self.open[topic] = batch
        if self._timer is None:
            self._timer = self._loop.call_later(self._linger_s, self.send)
        return batch

    def add_last(
        self,
        topic: str,
        batch: Batch,
        record: tuple[bytes | None, bytes, list[tuple[bytes, bytes]] | None, int],
        size: int,
    ) -> Delivery:
        """Adds the record that fills its batch, or begins the next one with it."""
        if len(record[1]) > limits.PAYLOAD_BYTES_MAX:
            raise TooLarge(f"payload of {len(record[1])} bytes exceeds {limits.PAYLOAD_BYTES_MAX}")
        if batch.records and batch.bytes_count + size > self.batch_bytes_max:
            self._close(topic)
            batch = self.begin(topic)
        batch.records.append(record)
        batch.bytes_count += size
        self.room -= 1
        delivery = Delivery(batch, len(batch.records) - 1)
        is_full = len(batch.records) >= limits.BATCH_RECORDS_MAX
        if is_full or batch.bytes_count >= self.batch_bytes_max:
            self._close(topic)
        return delivery

    as_bytes = staticmethod(_bytes_of)
    extra_of = staticmethod(headers_of)
    checked_bytes = staticmethod(_checked_bytes)

    def refuse(self, topic: str) -> Delivery:
        """What ``on_full`` says about a message for which there is no room."""
        error = QueueFull(
            f"{self._in_flight_max} messages are unanswered (max_in_flight); "
            "await publish() or ready() to wait for room"
        )
        if self._on_full != "drop":
            raise error
        self.dropped_count += 1
        batch = Batch(topic, 0, _ignore)
        batch.fail(error)
        return Delivery(batch, 0)

    def send(self) -> None:
        """Sends what is collected without waiting for more; ``flush`` also awaits the answers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for topic in list(self.open):
            self._close(topic)

    def _close(self, topic: str) -> None:
        """Hands the open batch of ``topic`` on, behind those that wait for its partition count."""
        batch = self.open.pop(topic)
        if not batch.records:
            return  # its only message was refused
        waiting = self._closed.get(topic)
        if waiting is not None:
            waiting.append(batch)
            return
        known = self._partitions.known(topic)
        if known is not None:
            self._dispatch(batch, known)
            return
        self._closed[topic] = deque([batch])
        self._start(self._resolve(topic), f"partitions of {topic}")

    # --- sending ---

    async def _resolve(self, topic: str) -> None:
        """Asks for the partition count, then hands on what waited for it."""
        try:
            count = await self._partitions.count(topic)
        except SprawlError as error:
            for batch in self._closed.pop(topic):
                batch.fail(error)
            return
        for batch in self._closed.pop(topic):
            self._dispatch(batch, count)

    def _dispatch(self, batch: Batch, partitions_count: int) -> None:
        if partitions_count == 1:
            parts = batch.divide(None)
        else:
            self._sticky = sticky = (self._sticky + 1) % partitions_count
            parts = batch.divide(
                lambda key: sticky if key is None else partition_of(key, partitions_count)
            )
        for part in parts:
            lane = self._lane(batch.topic, part.partition)
            is_idle = lane.is_idle
            lane.push(part)
            if is_idle:
                self._start(lane.run(), f"lane of {batch.topic}")

    def _lane(self, topic: str, partition: int | None) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            if len(self._lanes) >= limits.PARTITIONS_MAX * 8:
                self._lanes = {k: lane for k, lane in self._lanes.items() if not lane.is_idle}
            lane = self._lanes[topic, partition] = Lane(
                self._caller,
                topic,
                partition,
                durability=self._durability,
                codec=self._codec,
                turns=self._turns,
            )
        return lane

    def _start(self, work: Coroutine[object, object, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A task that died of a defect closes the producer's queue with it, loudly."""
        self._tasks.discard(task)
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": f"{task.get_name()} of a producer failed", "exception": defect}
            )
            self._start(self.close(), "close after a defect")

    def _batch_done(self, batch: Batch) -> None:
        self.room += len(batch.records)
        error = batch.error
        if error is not None and self._first_error is None:
            self._first_error = error
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter
