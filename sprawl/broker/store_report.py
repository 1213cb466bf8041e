"""What lies in the tiers, summed over topics.

In: the engine and the disk tier. Out: a ``StoreReport``. Invariants: every figure comes from them;
a message counts in the hottest tier that serves it, so the counts of the tiers add up; a node
without further tiers says so by their absence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sprawl.broker.engine import Engine, TierHeld, TopicSummary
from sprawl.broker.find_topic import all_topics
from sprawl.broker.tiers import Disk
from sprawl.limits import TOPIC_NAMES_LISTED_MAX
from sprawl.metrics.registry import gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """One tier; ``topics`` are names, at most ``TOPIC_NAMES_LISTED_MAX`` topics are looked at.

    ``message_count`` and ``used_bytes`` are of what no hotter tier has, ``stored_count`` and
    ``stored_bytes`` of what physically lies there. The times are None when it is empty or too many
    topics exist to look at.
    """

    message_count: int
    used_bytes: int
    stored_count: int
    stored_bytes: int
    capacity_bytes: int
    topics: tuple[str, ...]
    oldest_ns: int | None
    newest_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """The tiers, ``disk`` None without one; ``names`` of all topics, cut as those of a tier."""

    memory: TierReport
    disk: TierReport | None
    names: tuple[str, ...]
    topic_count: int

    @property
    def message_count(self) -> int:
        """Messages in all tiers."""
        return self.memory.message_count + (self.disk.message_count if self.disk else 0)

    @property
    def newest_ns(self) -> int | None:
        """Append time of the newest message in any tier."""
        times = [tier.newest_ns for tier in (self.memory, self.disk) if tier is not None]
        return max((t for t in times if t is not None), default=None)

    @property
    def is_truncated(self) -> bool:
        """Whether more topics exist than are looked at."""
        return self.topic_count > len(self.names)


def store_report(engine: Engine, disk: Disk | None = None) -> StoreReport:
    """The tiers as they are now."""
    stats = engine.stats()
    topics = list(islice(all_topics(engine), TOPIC_NAMES_LISTED_MAX))
    topic_count = gauge(stats, "topics")
    is_whole = topic_count <= len(topics)
    count, moved = gauge(stats, "messages"), gauge(stats, "moved_messages")
    held = [t["tiers"]["memory"] for t in topics]
    memory = TierReport(
        message_count=count - moved,
        used_bytes=gauge(stats, "log_bytes"),
        stored_count=count - moved,
        stored_bytes=gauge(stats, "log_bytes"),
        capacity_bytes=gauge(stats, "memory_bytes_max"),
        # One without a message lies where its first will.
        topics=tuple(t["name"] for t in topics if _in_memory(t)),
        oldest_ns=_oldest(held) if is_whole else None,
        newest_ns=_newest(held) if is_whole else None,
    )
    names = tuple(t["name"] for t in topics)
    if disk is None:
        return StoreReport(memory=memory, disk=None, names=names, topic_count=topic_count)
    figures = disk.figures()
    held = [t["tiers"]["disk"] for t in topics if "disk" in t["tiers"]]
    on_disk = TierReport(
        message_count=moved,
        used_bytes=max(0, gauge(stats, "memory_tail") - figures.first_lsn),
        stored_count=count - gauge(stats, "unsynced_messages"),
        stored_bytes=figures.used_bytes,
        capacity_bytes=figures.bytes_max,
        topics=tuple(t["name"] for t in topics if _on_disk(t)),
        oldest_ns=_oldest(held) if is_whole else None,
        newest_ns=_newest(held) if is_whole else None,
    )
    return StoreReport(memory=memory, disk=on_disk, names=names, topic_count=topic_count)


def _in_memory(topic: TopicSummary) -> bool:
    return topic["tiers"]["memory"]["records"] > 0 or not _on_disk(topic)


def _on_disk(topic: TopicSummary) -> bool:
    return "disk" in topic["tiers"] and topic["tiers"]["disk"]["records"] > 0


def _oldest(held: Sequence[TierHeld]) -> int | None:
    return min((h["oldest_ns"] for h in held if h["oldest_ns"] is not None), default=None)


def _newest(held: Sequence[TierHeld]) -> int | None:
    return max((h["newest_ns"] for h in held if h["newest_ns"] is not None), default=None)
