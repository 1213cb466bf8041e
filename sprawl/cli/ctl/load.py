"""Senders and a checking receiver of the benchmark.

In: a client, a plan. Out: counts and latencies. Invariants: with a rate, a message's latency begins
when the plan says it should leave, whether or not it could (no coordinated omission); every payload
carries run, sender, sequence and the planned time, so the receiver counts what is missing and what
came twice. Messages of the warm-up are counted by nobody but checked like all others.
"""

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import Final

from sprawl.cli.ctl.histogram import Histogram
from sprawl.client import Client, Delivery, Message
from sprawl.errors import SprawlError

HEAD: Final = struct.Struct("<QIQQ")
"""Run, sender, sequence, planned time (ns of the monotonic clock)."""

_TURN_S: Final = 0.001
_CHUNK: Final = 256


@dataclass
class Plan:
    """What to send: ``rate`` 0 is as fast as acknowledgements allow."""

    topic: str
    run: int
    clients: int
    size: int
    batch: int
    rate: float
    duration_s: float
    warmup_s: float
    durability: str | None


@dataclass
class Totals:
    """What came of it."""

    sent: int = 0
    acknowledged: int = 0
    measured: int = 0
    errors: int = 0
    received: int = 0
    received_measured: int = 0
    duplicates: int = 0
    first_error: str = ""
    acks: Histogram = field(default_factory=Histogram)
    ends: Histogram = field(default_factory=Histogram)
    sequences: dict[int, set[int]] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Acknowledged, and not received."""
        return sum(len(missing) for missing in self.sequences.values())


class Sender:
    """One client that publishes by the plan."""

    def __init__(self, client: Client, plan: Plan, number: int, totals: Totals) -> None:
        self._client = client
        self._plan = plan
        self._number = number
        self._totals = totals
        self._missing = totals.sequences.setdefault(number, set())
        self._sequence = 0
        self._filler = bytes(max(0, plan.size - HEAD.size))
        self._start_ns = 0

    async def run(self, start_ns: int, *, keeps: bool) -> None:
        """Sends until the duration is over; ``keeps`` remembers what a receiver must see."""
        plan = self._plan
        self._start_ns = start_ns
        end_ns = start_ns + int((plan.warmup_s + plan.duration_s) * 1e9)
        size = max(plan.size, HEAD.size) + 24
        rate = plan.rate / plan.clients
        async with self._client.producer(
            linger_ms=0 if plan.batch == 1 else 1,
            max_batch_bytes=min(max(plan.batch * size, 1), 8 * 1024 * 1024),
            durability=plan.durability,
            max_in_flight=max(plan.batch * 8, 1) if not rate else 1_000_000,
        ) as producer:
            while (now_ns := time.monotonic_ns()) < end_ns:
                if rate:
                    due = int((now_ns - start_ns) * rate / 1e9) + 1 - self._sequence
                else:
                    due = min(await producer.ready(), max(_CHUNK, plan.batch))
                    now_ns = time.monotonic_ns()
                for _ in range(max(due, 0)):
                    planned_ns = now_ns
                    if rate:
                        planned_ns = start_ns + int(self._sequence * 1e9 / rate)
                    head = HEAD.pack(plan.run, self._number, self._sequence, planned_ns)
                    delivery = producer.publish_nowait(plan.topic, head + self._filler)
                    self._expect(delivery, planned_ns, keeps=keeps)
                    self._sequence += 1
                await asyncio.sleep(_TURN_S if rate else 0)
            try:
                await producer.flush()
            except SprawlError as error:
                self._totals.first_error = self._totals.first_error or error.detail

    def _expect(self, delivery: Delivery, planned_ns: int, *, keeps: bool) -> None:
        self._totals.sent += 1
        sequence = self._sequence
        delivery.add_done_callback(
            lambda done: self._answered(done, sequence, planned_ns, keeps=keeps)
        )

    def _answered(self, delivery: Delivery, sequence: int, planned_ns: int, *, keeps: bool) -> None:
        totals = self._totals
        if delivery.exception() is not None:
            totals.errors += 1
            return
        totals.acknowledged += 1
        if keeps:
            self._missing.add(sequence)
        if planned_ns >= self._start_ns + int(self._plan.warmup_s * 1e9):
            totals.measured += 1
            totals.acks.add(time.monotonic_ns() - planned_ns)


class Receiver:
    """Reads the topic and compares it with what was acknowledged."""

    def __init__(self, client: Client, plan: Plan, totals: Totals, from_: str) -> None:
        self._reader = client.read(plan.topic, from_=from_)
        self._plan = plan
        self._totals = totals
        self._seen: set[tuple[int, int]] = set()
        self._news = asyncio.Event()
        self.start_ns = 0

    async def start(self) -> None:
        """Finds its place: what is published from now on is received."""
        await self._reader.start()

    async def run(self) -> None:
        """Receives until it is cancelled."""
        async for page in self._reader.pages():
            now_ns = time.monotonic_ns()
            for message in page:
                self._take(message, now_ns)
            self._news.set()

    def _take(self, message: Message, now_ns: int) -> None:
        totals = self._totals
        totals.received += 1
        if len(message.data) < HEAD.size:
            return
        run, sender, sequence, planned_ns = HEAD.unpack_from(message.data)
        if run != self._plan.run:
            return
        if (sender, sequence) in self._seen:
            totals.duplicates += 1
            return
        self._seen.add((sender, sequence))
        if planned_ns >= self.start_ns + int(self._plan.warmup_s * 1e9):
            totals.received_measured += 1
            totals.ends.add(now_ns - planned_ns)

    async def settle(self, timeout_s: float) -> None:
        """Waits until all that was acknowledged is here, or nothing came for ``timeout_s``."""
        while self._strike_out():
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                break
        self._strike_out()

    def _strike_out(self) -> int:
        """Removes what was received from what is missing; how much is left."""
        for sender, sequence in self._seen:
            missing = self._totals.sequences.get(sender)
            if missing is not None:
                missing.discard(sequence)
        return self._totals.lost
