"""What lies in the tiers, summed over topics.

In: the engine. Out: a ``StoreReport``. Invariants: every figure comes from the engine; a node
without further tiers says so by their absence.
"""

from dataclasses import dataclass
from itertools import islice

from sprawl.broker.engine import Engine
from sprawl.broker.find_topic import all_topics
from sprawl.limits import TOPIC_NAMES_LISTED_MAX
from sprawl.metrics.registry import gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """The memory tier; ``topics`` are names, at most ``TOPIC_NAMES_LISTED_MAX`` of them."""

    message_count: int
    used_bytes: int
    capacity_bytes: int
    topics: tuple[str, ...]
    topic_count: int
    oldest_ns: int | None
    newest_ns: int | None

    @property
    def is_truncated(self) -> bool:
        """Whether more topics exist than are named."""
        return self.topic_count > len(self.topics)


def store_report(engine: Engine) -> StoreReport:
    """The memory tier as it is now."""
    stats = engine.stats()
    names = tuple(topic["name"] for topic in islice(all_topics(engine), TOPIC_NAMES_LISTED_MAX))
    count = gauge(stats, "records")
    return StoreReport(
        message_count=count,
        used_bytes=gauge(stats, "ring_bytes"),
        capacity_bytes=gauge(stats, "ring_capacity_bytes"),
        topics=names,
        topic_count=gauge(stats, "topics"),
        oldest_ns=gauge(stats, "oldest_ns") or None if count else None,
        newest_ns=gauge(stats, "newest_ns") or None if count else None,
    )
