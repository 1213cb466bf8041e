"""The client without a loop: the same names, for threads.

In: calls from any thread. Out: the same results. The asyncio client runs on a private loop in one
daemon thread per ``Client``; every call waits for its coroutine there. Invariant: nothing of the
asyncio objects is touched from another thread, but through the loop.

``publish_nowait`` keeps messages in a list and wakes the loop once per list, so that its cost per
message stays near that of the asyncio producer.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from sprawl._hot.collect import Delivery as AsyncDelivery
from sprawl.client import bounds
from sprawl.client.client import Client as AsyncClient
from sprawl.client.message import Message, Outgoing, Receipt
from sprawl.client.producer import OnFull
from sprawl.client.producer import Producer as AsyncProducer
from sprawl.client.reader import OnGap
from sprawl.client.reader import Reader as AsyncReader
from sprawl.client.topics import TopicDetails, TopicSummary
from sprawl.client.topics import Topics as AsyncTopics
from sprawl.errors import Closed, QueueFull, SprawlError

__all__ = [
    "Client",
    "Delivery",
    "Message",
    "Outgoing",
    "Producer",
    "Reader",
    "Receipt",
    "SprawlError",
    "Topics",
]

_T = TypeVar("_T")


class _Loop:
    """A private loop in its own thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sprawl client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of ``work``; an interrupt here cancels it there."""
        if self._loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise Closed("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def soon(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` in the loop's thread."""
        self._loop.call_soon_threadsafe(callback)

    def stop(self) -> None:
        """Ends loop and thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


class Client:
    """As ``sprawl.client.Client``; use ``with``. May be shared by threads."""

    def __init__(
        self,
        urls: str | Iterable[str] = "http://localhost:8080",
        *,
        timeout_s: float = bounds.CALL_TIMEOUT_S,
        tries_max: int = bounds.TRIES_MAX,
        answer_timeout_s: float = bounds.ANSWER_TIMEOUT_S,
    ) -> None:
        self._client = AsyncClient(
            urls, timeout_s=timeout_s, tries_max=tries_max, answer_timeout_s=answer_timeout_s
        )
        self._loop = _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def publish(
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
        """Publishes one message and returns once its durability is reached. Raises SprawlError."""
        return self._loop.call(
            self._client.publish(
                topic,
                data,
                key=key,
                headers=headers,
                content_type=content_type,
                ttl_s=ttl_s,
                durability=durability,
                idempotency_key=idempotency_key,
                partition=partition,
                if_match=if_match,
            )
        )

    def publish_batch(
        self,
        topic: str,
        messages: Sequence[bytes | str | Outgoing],
        *,
        durability: str | None = None,
    ) -> list[Receipt]:
        """Publishes messages together; their receipts in order. Raises SprawlError."""
        return self._loop.call(self._client.publish_batch(topic, messages, durability=durability))

    def producer(
        self,
        *,
        linger_ms: float = bounds.PRODUCER_LINGER_MS,
        max_batch_bytes: int = bounds.PRODUCER_BATCH_BYTES,
        max_in_flight: int = bounds.PRODUCER_IN_FLIGHT_MAX,
        on_full: OnFull = "block",
        durability: str | None = None,
        compression: str = "none",
    ) -> "Producer":
        """A batching producer; with ``on_full="block"`` its calls wait for room."""

        async def made() -> AsyncProducer:
            return self._client.producer(
                linger_ms=linger_ms,
                max_batch_bytes=max_batch_bytes,
                max_in_flight=max_in_flight,
                on_full="block",
                durability=durability,
                compression=compression,
            )

        return Producer(self._loop, self._loop.call(made()), max_in_flight, on_full)

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
    ) -> "Reader":
        """Messages of a topic or pattern, ``for message in c.read(topic)``."""

        async def made() -> AsyncReader:
            return self._client.read(
                topic,
                from_=from_,
                partition=partition,
                follow=follow,
                limit=limit,
                key=key,
                headers=headers,
                on_gap=on_gap,
            )

        return Reader(self._loop, self._loop.call(made()))

    def topics(self) -> "Topics":
        """Administration of topics."""
        return Topics(self._loop, self._client.topics())

    def get(self, path: str) -> object:
        """The decoded JSON of any ``GET`` route of a node."""
        return self._loop.call(self._client.get(path))

    def post(self, path: str, body: object) -> object:
        """As ``get``, for a ``POST`` of JSON that may be repeated without harm."""
        return self._loop.call(self._client.post(path, body))

    def close(self) -> None:
        """Ends producers, readers, connections and the private thread."""
        try:
            self._loop.call(self._client.close())
        except Closed:
            return
        self._loop.stop()


class Delivery:
    """The future of one published message: ``result()`` waits for its receipt."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: concurrent.futures.Future[Receipt] = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether the node has answered, or the message has failed."""
        return self._future.done()

    def result(self, timeout_s: float | None = None) -> Receipt:
        """The receipt. Raises the message's SprawlError, or TimeoutError."""
        return self._future.result(timeout_s)

    def exception(self, timeout_s: float | None = None) -> BaseException | None:
        """The error of a message that failed. Raises TimeoutError."""
        return self._future.exception(timeout_s)

    def settle(self, done: AsyncDelivery) -> None:
        """Takes over the outcome."""
        error = done.exception()
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(done.result())

    def refuse(self, error: Exception) -> None:
        """Fails without having been sent."""
        self._future.set_exception(error)


_Call = tuple[str, bytes, dict[str, Any], Delivery]


class Producer:
    """As ``sprawl.client.Producer``, for threads; use ``with``."""

    def __init__(
        self, loop: _Loop, producer: AsyncProducer, in_flight_max: int, on_full: OnFull
    ) -> None:
        self.dropped_count = 0
        self._loop = loop
        self._producer = producer
        self._on_full = on_full
        self._in_flight_max = in_flight_max
        self._in_flight_count = 0
        self._calls: list[_Call] = []
        self._lock = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self.close()

    def publish_nowait(
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
        """Takes one message; waits only at ``max_in_flight`` with ``on_full="block"``.

        A message that can never be stored fails its delivery. Raises QueueFull with ``"raise"``.
        """
        extra: dict[str, Any] = {}
        if key is not None:
            extra["key"] = key
        if headers or content_type or ttl_s or idempotency_key is not None:
            extra |= {
                "headers": headers,
                "content_type": content_type,
                "ttl_s": ttl_s,
                "idempotency_key": idempotency_key,
            }
        delivery = Delivery()
        with self._lock:
            if self._in_flight_count >= self._in_flight_max and not self._has_room(delivery):
                return delivery
            self._in_flight_count += 1
            self._calls.append((topic, data, extra, delivery))
            is_first = len(self._calls) == 1
        if is_first:
            self._loop.soon(self._take)
        return delivery

    publish = publish_nowait

    def flush(self) -> None:
        """Waits until every message has its answer. Raises the first error since the last flush."""

        async def flushed() -> None:
            self._take()
            await self._producer.flush()

        self._loop.call(flushed())

    def close(self) -> None:
        """Gives up what is unanswered. Call ``flush`` first to keep it."""

        async def closed() -> None:
            self._take()
            await self._producer.close()

        self._loop.call(closed())

    def _has_room(self, delivery: Delivery) -> bool:
        """Acts by ``on_full``; whether the message may be taken. Called with the lock held."""
        error = QueueFull(f"{self._in_flight_max} messages are unanswered (max_in_flight)")
        if self._on_full == "raise":
            raise error
        if self._on_full == "drop":
            self.dropped_count += 1
            delivery.refuse(error)
            return False
        self._loop.soon(self._producer.send)
        while self._in_flight_count >= self._in_flight_max:
            self._lock.wait()
        return True

    def _take(self) -> None:
        """In the loop's thread: hands what was collected to the asyncio producer."""
        with self._lock:
            calls, self._calls = self._calls, []
        for topic, data, extra, delivery in calls:
            try:
                inner = self._producer.publish_nowait(topic, data, **extra)
            except (SprawlError, TypeError) as error:
                delivery.refuse(error)
                self._left(1)
            else:
                inner.add_done_callback(partial(self._done, delivery))

    def _done(self, delivery: Delivery, done: AsyncDelivery) -> None:
        delivery.settle(done)
        self._left(1)

    def _left(self, count: int) -> None:
        with self._lock:
            self._in_flight_count -= count
            self._lock.notify_all()


class Reader:
    """As ``sprawl.client.Reader``: ``for message in reader``."""

    def __init__(self, loop: _Loop, reader: AsyncReader) -> None:
        self._loop = loop
        self._reader = reader
        self._pages = reader.pages()

    @property
    def cursor(self) -> str:
        """Where to go on after the last message handed out; empty before the first."""
        return self._reader.cursor

    @property
    def gaps_count(self) -> int:
        """Gaps passed over."""
        return self._reader.gaps_count

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self._reader.taken()
        if message is None:
            message = self._loop.call(self._next())
        if message is None:
            raise StopIteration
        return message

    async def _next(self) -> Message | None:
        return await anext(self._reader, None)

    def pages(self) -> Iterator[list[Message]]:
        """The same messages a list at a time."""
        while (page := self._loop.call(self._next_page())) is not None:
            yield page

    async def _next_page(self) -> list[Message] | None:
        return await anext(self._pages, None)

    def start(self) -> None:
        """Finds the place to begin: nothing published after return is missed."""
        self._loop.call(self._reader.start())

    def close(self) -> None:
        """Ends the reading."""
        self._loop.call(self._reader.aclose())


class Topics:
    """As ``sprawl.client.Topics``."""

    def __init__(self, loop: _Loop, topics: AsyncTopics) -> None:
        self._loop = loop
        self._topics = topics

    def put(self, name: str, **config: Any) -> TopicDetails:
        """Creates the topic or changes what is given; members as in ``sprawl.client.Topics.put``."""
        return self._loop.call(self._topics.put(name, **config))

    def get(self, name: str) -> TopicDetails:
        """The topic. Raises NotFound."""
        return self._loop.call(self._topics.get(name))

    def list(self, prefix: str = "") -> Iterator[TopicSummary]:
        """Every topic whose name begins with ``prefix``."""
        found = self._topics.list(prefix)

        async def step() -> TopicSummary | None:
            return await anext(found, None)

        while (topic := self._loop.call(step())) is not None:
            yield topic

    def delete(self, name: str) -> None:
        """Deletes the topic. Raises NotFound."""
        self._loop.call(self._topics.delete(name))

    def undelete(self, name: str) -> TopicDetails:
        """Brings a deleted topic back. Raises NotFound."""
        return self._loop.call(self._topics.undelete(name))
