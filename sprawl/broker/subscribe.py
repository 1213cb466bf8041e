"""Subscriptions of the original's routes: an id over topics, backed by reads from *latest*.

In: ids, topic names, times, and the calls of ``deliver`` when a topic has something new. Out:
subscriptions, and the deliveries to be logged. Invariants: the same id again is the same
subscription; they live in memory only and end when nothing was delivered to them or asked of them
for an hour; one reader per topic serves all its subscriptions; reading for the log takes a bounded
number of messages a second, and what is above is skipped, not queued.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import orjson

from sprawl.broker.engine import Engine, Reader
from sprawl.broker.put_topic import put_topic
from sprawl.broker.topic_name import check_topic_name, is_pattern
from sprawl.errors import NotFound, RateLimited
from sprawl.limits import LOG_LINES_PER_EVENT_S_MAX, SUBSCRIPTIONS_MAX

IDLE_EXPIRY_S: Final = 3_600

_SECOND_NS: Final = 1_000_000_000
_SWEEP_NS: Final = 60 * _SECOND_NS
_PULL_BYTES_MAX: Final = 256 * 1024


class Wakeups(Protocol):
    """Who says that a reader has something new."""

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when the reader has something new."""

    def unwatch(self, reader: object) -> None:
        """Ends the calls."""

    def fetch(self, reader: object, callback: Callable[[bool], None]) -> bool:
        """Reads from disk what the reader wants, then calls back whether it was fed.

        False when it wants nothing from disk.
        """


class NoWakeups:
    """For a node without a listener yet: nothing is ever new."""

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        """Does nothing."""

    def unwatch(self, reader: object) -> None:
        """Does nothing."""

    def fetch(self, reader: object, callback: Callable[[bool], None]) -> bool:  # noqa: ARG002
        """Wants nothing."""
        return False


@dataclass(slots=True)
class Subscription:
    """Interest in some topics; ``touched_ns`` is when it was last renewed or delivered to."""

    subscription_id: str
    topics: tuple[str, ...]
    touched_ns: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it reached one subscription."""

    subscription_id: str
    topic: str
    message_id: str
    payload: str
    payload_bytes: int


@dataclass(slots=True)
class _Feed:
    """The one reader of a topic and who shares it."""

    reader: Reader
    members: set[str] = field(default_factory=set)
    is_fetching: bool = False
    second: int = -1
    lines_left: int = LOG_LINES_PER_EVENT_S_MAX


class Subscriptions:
    """The table of subscriptions; ``on_delivery`` is called for what is to be logged."""

    def __init__(
        self,
        engine: Engine,
        *,
        now_ns: Callable[[], int],
        new_id: Callable[[], str],
        on_delivery: Callable[[Delivery], None],
        wakeups: Wakeups | None = None,
    ) -> None:
        self._engine = engine
        self._now_ns = now_ns
        self._new_id = new_id
        self._on_delivery = on_delivery
        self._wakeups: Wakeups = wakeups or NoWakeups()
        self._held: dict[str, Subscription] = {}
        self._feeds: dict[str, _Feed] = {}
        self._swept_ns = 0

    def __len__(self) -> int:
        return len(self._held)

    def attach(self, wakeups: Wakeups) -> None:
        """Names the listener that wakes readers; feeds that exist are moved to it."""
        for topic, feed in self._feeds.items():
            self._wakeups.unwatch(feed.reader)
            wakeups.watch(feed.reader, partial(self.deliver, topic))
        self._wakeups = wakeups

    def subscribe(self, topics: Iterable[str], subscription_id: str | None) -> Subscription:
        """The subscription of this id, made when there is none; topics that do not exist are made.

        The same id with further topics adds them. Nothing is durable. Raises InvalidRequest for a
        bad topic name, RateLimited at the bound.
        """
        wanted = tuple(dict.fromkeys(topics))
        for topic in wanted:
            if not is_pattern(topic):
                check_topic_name(topic)
        now_ns = self._now_ns()
        self._expire(now_ns)
        held = self._held.get(subscription_id) if subscription_id else None
        if held is None:
            if len(self._held) >= SUBSCRIPTIONS_MAX:
                raise RateLimited(f"{SUBSCRIPTIONS_MAX} subscriptions exist; delete one first")
            held = Subscription(subscription_id or self._new_id(), (), now_ns)
        for topic in wanted:
            self._join(topic, held.subscription_id, now_ns)
        held.topics = tuple(dict.fromkeys(held.topics + wanted))
        held.touched_ns = now_ns
        self._held[held.subscription_id] = held
        return held

    def unsubscribe(self, subscription_id: str) -> None:
        """Ends a subscription; NotFound when there is none of this id."""
        held = self._held.pop(subscription_id, None)
        if held is None:
            raise NotFound(
                f"subscription {subscription_id[:64]!r} does not exist",
                code="subscription_not_found",
            )
        for topic in held.topics:
            self._leave(topic, subscription_id)

    def count(self, topic: str) -> int:
        """How many subscriptions name exactly this topic."""
        feed = self._feeds.get(topic)
        return len(feed.members) if feed is not None else 0

    def deliver(self, topic: str) -> None:
        """Gives what is new on a topic to its subscriptions, within this second's bound."""
        feed = self._feeds.get(topic)
        if feed is None or feed.is_fetching:
            return
        now_ns = self._now_ns()
        self._touch(feed, now_ns)
        second = now_ns // _SECOND_NS
        if second != feed.second:
            feed.second, feed.lines_left = second, LOG_LINES_PER_EVENT_S_MAX
        while feed.lines_left > 0:
            document = feed.reader.pull(_PULL_BYTES_MAX, feed.lines_left, now_ns)
            for delivery in _deliveries(topic, document or b""):
                for member in sorted(feed.members):
                    self._on_delivery(delivery(member))
                feed.lines_left -= 1
            if not feed.reader.more:
                return
            if document is None:
                fetched = partial(self._fetched, topic, feed, feed.reader)
                feed.is_fetching = self._wakeups.fetch(feed.reader, fetched)
                if feed.is_fetching:
                    return
        # More than may be told: go on from the end instead of reading what nobody will see.
        self._wakeups.unwatch(feed.reader)
        self._open(topic, feed, now_ns)

    def _fetched(self, topic: str, feed: _Feed, reader: Reader, is_fed: bool) -> None:
        if self._feeds.get(topic) is not feed or feed.reader is not reader:
            return
        feed.is_fetching = False
        if is_fed:
            self.deliver(topic)
        else:
            # What the disk cannot give is skipped: these deliveries are for a log.
            self._wakeups.unwatch(reader)
            self._open(topic, feed, self._now_ns())

    def _touch(self, feed: _Feed, now_ns: int) -> None:
        for member in feed.members:
            self._held[member].touched_ns = now_ns

    def _join(self, topic: str, subscription_id: str, now_ns: int) -> None:
        feed = self._feeds.get(topic)
        if feed is None:
            if not is_pattern(topic) and self._engine.topic_get(topic) is None:
                put_topic(self._engine, topic, {})
            reader = self._engine.reader(topic, b"from=latest", "ndjson", None, now_ns)
            feed = self._feeds[topic] = _Feed(reader)
            self._wakeups.watch(reader, partial(self.deliver, topic))
        feed.members.add(subscription_id)

    def _open(self, topic: str, feed: _Feed, now_ns: int) -> None:
        feed.reader = self._engine.reader(topic, b"from=latest", "ndjson", None, now_ns)
        self._wakeups.watch(feed.reader, partial(self.deliver, topic))

    def _leave(self, topic: str, subscription_id: str) -> None:
        feed = self._feeds[topic]
        feed.members.discard(subscription_id)
        if not feed.members:
            self._wakeups.unwatch(feed.reader)
            del self._feeds[topic]

    def _expire(self, now_ns: int) -> None:
        """Ends what was idle too long; looks at most once a minute, because it is a scan."""
        if now_ns - self._swept_ns < _SWEEP_NS:
            return
        self._swept_ns = now_ns
        limit_ns = now_ns - IDLE_EXPIRY_S * _SECOND_NS
        for idle in [s.subscription_id for s in self._held.values() if s.touched_ns < limit_ns]:
            self.unsubscribe(idle)


def _deliveries(topic: str, document: bytes) -> Iterator[Callable[[str], Delivery]]:
    for line in document.splitlines():
        message = orjson.loads(line)
        if "id" not in message:
            # What is not a message, such as a gap, was not delivered.
            continue
        text = message.get("payload")
        size = len(text.encode()) if text is not None else _decoded_bytes(message["base64"])

        def delivery(
            member: str, name: str = message["id"], text: str | None = text, size: int = size
        ) -> Delivery:
            return Delivery(member, topic, name, text or "", size)

        yield delivery


def _decoded_bytes(base64: str) -> int:
    return len(base64) // 4 * 3 - base64.count("=", -2)
