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
    """The memory tier as it is now; the times are None when too many topics exist to look at."""
    stats = engine.stats()
    looked_at = list(islice(all_topics(engine), TOPIC_NAMES_LISTED_MAX))
    topic_count = gauge(stats, "topics")
    oldest = [t["oldest_ns"] for t in looked_at if t["oldest_ns"] is not None]
    newest = [t["newest_ns"] for t in looked_at if t["newest_ns"] is not None]
    is_whole = topic_count <= len(looked_at)
    return StoreReport(
        message_count=gauge(stats, "messages"),
        used_bytes=gauge(stats, "log_bytes"),
        capacity_bytes=gauge(stats, "memory_bytes_max"),
        topics=tuple(topic["name"] for topic in looked_at),
        topic_count=topic_count,
        oldest_ns=min(oldest, default=None) if is_whole else None,
        newest_ns=max(newest, default=None) if is_whole else None,
    )
