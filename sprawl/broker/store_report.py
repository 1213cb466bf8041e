"""What lies in the tiers, summed over topics.

In: the engine, the disk and the cloud tier. Out: a ``StoreReport``. Invariants: every figure comes from them;
a message counts in the hottest tier that serves it, so the counts of the tiers add up; a node
without further tiers says so by their absence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypedDict

from sprawl.broker.engine import Engine, TierHeld, TopicSummary
from sprawl.broker.find_topic import all_topics
from sprawl.broker.tiers import Cloud, Disk
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
    """The tiers, None where one is off; ``names`` of all topics, cut as those of a tier."""

    memory: TierReport
    disk: TierReport | None
    cloud: TierReport | None
    names: tuple[str, ...]
    topic_count: int

    @property
    def tiers(self) -> tuple[TierReport, ...]:
        """Those that are on, hottest first."""
        tiers = (self.memory, self.disk, self.cloud)
        return tuple(tier for tier in tiers if tier is not None)

    @property
    def message_count(self) -> int:
        """Messages in all tiers."""
        return sum(tier.message_count for tier in self.tiers)

    @property
    def newest_ns(self) -> int | None:
        """Append time of the newest message in any tier."""
        times = [tier.newest_ns for tier in self.tiers]
        return max((t for t in times if t is not None), default=None)

    @property
    def is_truncated(self) -> bool:
        """Whether more topics exist than are looked at."""
        return self.topic_count > len(self.names)


def store_report(
    engine: Engine, disk: Disk | None = None, cloud: Cloud | None = None
) -> StoreReport:
    """The tiers as they are now."""
    stats = engine.stats()
    topics = list(islice(all_topics(engine), TOPIC_NAMES_LISTED_MAX))
    topic_count = gauge(stats, "topics")
    is_whole = topic_count <= len(topics)
    count, moved = gauge(stats, "messages"), gauge(stats, "moved_messages")
    cold = gauge(stats, "cold_messages")
    in_memory = count - moved - cold
    memory = TierReport(
        message_count=in_memory,
        used_bytes=gauge(stats, "log_bytes"),
        stored_count=in_memory,
        stored_bytes=gauge(stats, "log_bytes"),
        capacity_bytes=gauge(stats, "memory_bytes_max"),
        # One without a message lies where its first will.
        topics=tuple(t["name"] for t in topics if _in_memory(t)),
        **_times([t["tiers"]["memory"] for t in topics], is_whole=is_whole),
    )
    on_disk = in_cloud = None
    if disk is not None:
        figures = disk.figures()
        on_disk = TierReport(
            message_count=moved,
            used_bytes=max(0, gauge(stats, "memory_tail") - figures.first_lsn),
            stored_count=count - cold - gauge(stats, "unsynced_messages"),
            stored_bytes=figures.used_bytes,
            capacity_bytes=figures.bytes_max,
            topics=tuple(t["name"] for t in topics if _held(t, "disk")),
            **_times(
                [t["tiers"]["disk"] for t in topics if "disk" in t["tiers"]], is_whole=is_whole
            ),
        )
    if cloud is not None:
        stored_bytes = cloud.figures().stored_bytes
        in_cloud = TierReport(
            message_count=cold,
            used_bytes=stored_bytes,
            stored_count=cold,
            stored_bytes=stored_bytes,
            capacity_bytes=0,
            topics=tuple(t["name"] for t in topics if _held(t, "cloud")),
            **_times(
                [t["tiers"]["cloud"] for t in topics if "cloud" in t["tiers"]], is_whole=is_whole
            ),
        )
    return StoreReport(
        memory=memory,
        disk=on_disk,
        cloud=in_cloud,
        names=tuple(t["name"] for t in topics),
        topic_count=topic_count,
    )


class _Times(TypedDict):
    oldest_ns: int | None
    newest_ns: int | None


def _in_memory(topic: TopicSummary) -> bool:
    is_colder = _held(topic, "disk") or _held(topic, "cloud")
    return topic["tiers"]["memory"]["records"] > 0 or not is_colder


def _held(topic: TopicSummary, tier: Literal["disk", "cloud"]) -> bool:
    return tier in topic["tiers"] and topic["tiers"][tier]["records"] > 0


def _times(held: Sequence[TierHeld], *, is_whole: bool) -> _Times:
    """Times of a tier; None where too many topics exist to look at."""
    if not is_whole:
        return {"oldest_ns": None, "newest_ns": None}
    oldest = [h["oldest_ns"] for h in held if h["oldest_ns"] is not None]
    newest = [h["newest_ns"] for h in held if h["newest_ns"] is not None]
    return {"oldest_ns": min(oldest, default=None), "newest_ns": max(newest, default=None)}
