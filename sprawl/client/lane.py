"""One producer's way to one partition: batches in order, each stored once.

In: parts of batches, in the order of publishing. Out: their results, in the same order.
Invariants: a lane has an identity of its own (producer id, sequence from 0) that no other sender
uses; a batch keeps its sequence through every try, so a repeated one is answered with its first
place; several batches are in flight only behind one that this connection has seen answered, so a
lost first batch can never be overtaken; a new identity is taken only when the rest is certainly not
stored. Source: the idempotent producer of Apache Kafka.

| answer to the oldest batch | what follows |
|---|---|
| 2xx | its receipt; the window opens to ``LANE_BATCHES_MAX`` |
| lost connection, timeout, 5xx, 429 | all unanswered are sent again as they were, after a pause |
| ``sequence_gap`` | certainly not stored: the rest goes out under a new identity |
| ``sequence_too_old``, ``producer_fenced`` | the same, unless an earlier try had no answer: then it fails, outcome unknown |
| anything else | it fails; the rest goes out under a new identity |
"""

import asyncio
from collections import deque
from typing import Final
from urllib.parse import quote

import msgspec

from sprawl.client import bounds
from sprawl.client.batch import Part, Placed
from sprawl.client.caller import Caller
from sprawl.client.codec import encode_batch
from sprawl.client.http import Connection, Request, Response
from sprawl.client.message import milliseconds
from sprawl.client.pool import Pool, is_hop_error
from sprawl.client.problem import error_of, error_of_members
from sprawl.errors import BadAnswer, Closed, SprawlError, Timeout

_SEQUENCES: Final = 2**31


class _Sent:
    """A part with the bytes it has been given for its identity."""

    __slots__ = ("body", "future", "is_unknown", "part", "since_s")

    def __init__(self, part: Part, since_s: float) -> None:
        self.part: Final = part
        self.since_s: Final = since_s
        self.body: bytes | None = None
        self.future: asyncio.Future[Response] | None = None
        self.is_unknown = False


class Lane:
    """The batches of one topic's partition (None: the only one, or the node's choice)."""

    def __init__(
        self,
        caller: Caller,
        topic: str,
        partition: int | None,
        *,
        durability: str | None,
        codec: int,
        turns: asyncio.Semaphore,
    ) -> None:
        self._caller = caller
        self._topic = topic
        self._codec = codec
        self._turns = turns
        query = "" if partition is None else f"?partition={partition}"
        self._target = f"/v1/topics/{quote(topic, safe='')}/messages{query}"
        headers = [("Content-Type", "application/x-sprawl-batch")]
        if durability is not None:
            headers.append(("Sprawl-Durability", durability))
        self._headers = tuple(headers)
        self._queue: deque[_Sent] = deque()
        self._sequence = 0
        self._producer_id = 0
        self._failures = 0
        self._take_identity()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or unanswered."""
        return not self._queue

    def push(self, part: Part) -> None:
        """Queues a part behind all others; ``run`` must be running or be started."""
        self._queue.append(_Sent(part, asyncio.get_running_loop().time()))

    def fail(self, error: SprawlError) -> None:
        """Ends everything queued."""
        while self._queue:
            self._queue.popleft().part.settle(error)

    async def run(self) -> None:
        """Sends until nothing is queued."""
        while self._queue:
            async with self._turns:
                error = await self._turn()
            if error is not None and self._queue:
                await self._pause(error)

    async def _turn(self) -> SprawlError | None:
        """One connection's work; the error after which a pause is due."""
        pool = None
        try:
            pool = self._caller.pool
            connection = await pool.lend()
        except SprawlError as error:
            return self._refused(error, pool)
        try:
            await self._send_all(connection)
        except SprawlError as error:
            connection.close()
            return self._refused(error, pool)
        finally:
            for sent in self._queue:
                sent.future = None
            pool.give_back(connection)
        return None

    def _refused(self, error: SprawlError, pool: Pool | None) -> SprawlError:
        if isinstance(error, Closed):
            self.fail(error)
        elif pool is not None and is_hop_error(error):
            self._caller.leave(pool)
        return error

    async def _send_all(self, connection: Connection) -> None:
        """Keeps a window of batches in flight; returns when nothing is left."""
        window = 1
        while self._queue:
            self._fill(connection, window)
            if not self._queue:
                return
            head = self._queue[0]
            try:
                placed = placed_of(await self._answer(head))
            except SprawlError as error:
                await self._judge(error, head)
                window = 1
                continue
            self._failures = 0
            self._queue.popleft()
            head.part.settle(placed)
            window = bounds.LANE_BATCHES_MAX

    def _fill(self, connection: Connection, window: int) -> None:
        """Sends what of the window is not sent yet; a batch that cannot be encoded fails alone."""
        for sent in list(self._queue)[:window]:
            if sent.future is not None:
                continue
            try:
                request = self._request(sent)
            except SprawlError as error:
                self._queue.remove(sent)
                sent.part.settle(error)
                continue
            sent.future = connection.send(request)

    async def _answer(self, sent: _Sent) -> Response:
        assert sent.future is not None
        timeout_s = self._caller.answer_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                response = await sent.future
        except TimeoutError as error:
            raise Timeout(f"no answer to a batch within {timeout_s:g} s") from error
        if response.status >= 400:
            raise error_of(response)
        return response

    async def _judge(self, error: SprawlError, head: _Sent) -> None:
        """Applies the table above; raises ``error`` when the connection's work ends with it."""
        is_numbered = error.code in {"sequence_gap", "sequence_too_old", "producer_fenced"}
        is_safe = error.code == "sequence_gap" or not head.is_unknown
        if error.outcome == "unknown":
            for sent in self._queue:
                sent.is_unknown = sent.is_unknown or sent.future is not None
        if error.retryable or error.outcome == "unknown":
            raise error
        await self._drain()
        if not (is_numbered and is_safe):
            self._queue.popleft()
            head.part.settle(error)
        self._take_identity()

    async def _drain(self) -> None:
        """Awaits what is in flight behind the head: refused by its sequence, so not stored."""
        futures = [sent.future for sent in self._queue if sent.future is not None]
        if futures:
            await asyncio.wait(futures, timeout=self._caller.answer_timeout_s)
        for future in futures:
            if future.done() and not future.cancelled():
                future.exception()  # seen: a lost connection is met again by the next send

    def _take_identity(self) -> None:
        """A new producer id; everything queued is encoded anew."""
        self._producer_id = self._caller.rng.getrandbits(63)
        self._sequence = 0
        for sent in self._queue:
            sent.body = None
            sent.future = None
            sent.is_unknown = False

    def _request(self, sent: _Sent) -> Request:
        if sent.body is None:
            identity = (self._producer_id, 0, self._sequence)
            sent.body = encode_batch(sent.part.records, self._codec, identity)
            self._sequence = (self._sequence + len(sent.part.records)) % _SEQUENCES
        return Request("POST", self._target, self._headers, sent.body)

    async def _pause(self, error: SprawlError) -> None:
        """Gives up what must be, then waits before the next turn, unless another node is left."""
        self._failures += 1
        now_s = asyncio.get_running_loop().time()
        is_given_up = not error.retryable
        if now_s - self._queue[0].since_s > bounds.PRODUCER_TIMEOUT_S:
            is_given_up = True
        if is_given_up:
            self._give_up(error, now_s - bounds.PRODUCER_TIMEOUT_S)
        retry = self._caller.retry
        if not is_hop_error(error) or self._failures % len(self._caller.addresses) == 0:
            await asyncio.sleep(retry.wait_s(self._failures, error, self._caller.rng))

    def _give_up(self, error: SprawlError, before_s: float) -> None:
        """Fails the head, what is too old, and what may have been stored; renumbers the rest."""
        head = self._queue[0]
        kept: deque[_Sent] = deque()
        for sent in self._queue:
            if sent is head or sent.is_unknown or sent.since_s < before_s:
                sent.part.settle(error)
            else:
                kept.append(sent)
        self._queue = kept
        self._take_identity()


class _Durability(msgspec.Struct, frozen=True):
    reached: str
    replicas: int = 1
    fsynced: int = 0


class _Result(msgspec.Struct, frozen=True):
    partition: int
    base_offset: int
    timestamp: str
    durability: _Durability
    id: str = ""
    duplicate: bool = False


class _Results(msgspec.Struct, frozen=True):
    results: list[msgspec.Raw]


_RESULTS = msgspec.json.Decoder(_Results)
_RESULT = msgspec.json.Decoder(_Result)


def placed_of(response: Response) -> Placed:
    """The one result of a batch's answer. Raises the error it holds, or BadAnswer."""
    try:
        (raw,) = _RESULTS.decode(response.body).results
        members = msgspec.json.decode(raw)
        if "base_offset" not in members:
            status = members.get("status")
            raise error_of_members(members, status if isinstance(status, int) else 500)
        result = _RESULT.decode(raw)
        timestamp_ms = milliseconds(result.timestamp)
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError) as error:
        raise BadAnswer(f"answer to a batch not understood: {error}") from error
    return Placed(
        topic_id=result.id.partition("-")[0],
        partition=result.partition,
        base_offset=result.base_offset,
        timestamp_ms=timestamp_ms,
        reached=result.durability.reached,
        replicas_count=result.durability.replicas,
        fsynced_count=result.durability.fsynced,
        is_duplicate=result.duplicate,
    )
