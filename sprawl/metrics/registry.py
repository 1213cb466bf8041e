"""The one table of metrics, and what is read into it.

In: ``stats()`` of the engine (counters, gauges, histograms with log2 bounds) and a sample of the
machine. Out: ``families(...)``, in a fixed order, for the expositions; figures of a histogram.
Invariants: a name appears once; a counter or gauge of the engine that the table does not name is
exported under its own name, so that nothing measured is hidden.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram", "info"]

STAGES: Final = ("receive", "tick", "deliver", "commit")
"""The stages that have a latency histogram: one read of a socket (parse, append, answer), the end
of a tick (seal, wake), one turn of writing to a reader, one commit to disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSample:
    """One sample of the machine and this process.

    Percentages are 0–100, ratios 0–1, trends −1, 0 or 1; ``allocated_bytes`` is what the process
    has mapped and ``resident_bytes`` what of it lies in memory.
    """

    cpu_percent: float
    memory_ratio: float
    disk_percent: float
    network_bytes_per_s: float
    message_rate: float
    cpu_trend: int
    memory_trend: int
    gc_cpu_fraction: float
    tasks_count: int
    heap_objects: int
    allocated_bytes: int
    resident_bytes: int
    open_files: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its name without the suffix that its kind adds."""

    name: str
    kind: Kind
    help: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value: the suffix behind the family's name, labels, and the value."""

    suffix: str
    labels: tuple[tuple[str, str], ...]
    value: float | int


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its values of now."""

    metric: Metric
    samples: tuple[Sample, ...]


COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "messages_received": ("messages appended to the log", ""),
    "messages_delivered": ("messages written to readers", ""),
    "message_bytes": ("payload bytes appended to the log", "bytes"),
    "batches": ("batches appended to the log", ""),
    "duplicates": ("publishes answered with an earlier receipt", ""),
    "evicted_messages": ("messages dropped because memory was needed", ""),
    "retired_messages": ("messages dropped by retention", ""),
    "bytes_in": ("bytes received on hot connections", ""),
    "bytes_out": ("bytes of answers and streams", ""),
    "publish_requests": ("publish requests answered by compiled code", ""),
    "fetch_requests": ("read requests answered by compiled code", ""),
    "cold_requests": ("requests handed to the application", ""),
    "refused_requests": ("requests answered with an error", ""),
    "malformed_requests": ("requests that were not HTTP and closed their connection", ""),
    "route_cache_hits": ("routes found in the route cache", ""),
    "route_cache_misses": ("routes computed", ""),
    "disk_commits": ("commits of the disk tier, each one sync", ""),
    "disk_commit_bytes": ("log bytes made durable", "bytes"),
    "disk_full": ("commits that found no room", ""),
    "disk_windows_dropped": ("windows of the log that were cut away", ""),
    "disk_scrubbed_bytes": ("log bytes verified in the background", "bytes"),
    "disk_damaged_ranges": ("ranges of the log found damaged", ""),
    "disk_indexes_rebuilt": ("index blocks built again from the log", ""),
    "cloud_windows_moved": ("windows of the log that went to the cloud", ""),
    "cloud_uploaded_bytes": ("bytes put into the object store", "bytes"),
    "cloud_reads": ("pages read from the cloud", ""),
    "cloud_requests": ("requests to the object store for reads", ""),
    "cloud_fetched_bytes": ("bytes fetched for reads", "bytes"),
    "cloud_kept_reads": ("row groups and footers that reads found in memory", ""),
    "cloud_failed_reads": ("reads that the object store failed", ""),
}
"""Counters of the engine: name → (help, unit)."""

GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "topics": ("topics", ""),
    "messages": ("messages held", ""),
    "memory_bytes": ("bytes taken by the memory tier", "bytes"),
    "memory_bytes_max": ("bound of the memory tier in bytes", ""),
    "log_bytes": ("bytes of messages held in memory", "bytes"),
    "head_lsn": ("position behind the newest byte of the log", ""),
    "memory_tail": ("position of the oldest byte in memory", ""),
    "connections": ("open client connections", ""),
    "buffered_bytes": ("bytes of requests received in part", "bytes"),
    "moved_messages": ("messages held on disk alone", ""),
    "cold_messages": ("messages held in the cloud alone", ""),
    "unsynced_messages": ("messages not on disk yet", ""),
    "unsynced_bytes": ("bytes of the log not on disk yet", "bytes"),
    "disk_windows": ("sealed windows of the log", ""),
    "disk_used_bytes": ("bytes of pages in use on disk", "bytes"),
    "disk_bytes_max": ("bound of the disk tier in bytes", ""),
    "disk_refuses": ("whether publishes are refused for want of room on disk", ""),
    "disk_oldest_reader_seconds": ("age of the oldest read of the disk tier", "seconds"),
    "cloud_degraded": ("whether the last step of the cloud tier failed", ""),
    "cloud_segments": ("segments in the cloud", ""),
    "cloud_stored_bytes": ("bytes of segments in the cloud", "bytes"),
    "cloud_waiting_windows": ("sealed windows that are not in the cloud", ""),
    "cloud_lag_seconds": ("age of the oldest sealed window that is not in the cloud", "seconds"),
    "unsent_bytes": ("bytes of large answers that clients have not taken yet", "bytes"),
    "dedup_keys": ("idempotency keys remembered", ""),
    "route_cache_size": ("entries of the route cache", ""),
    "route_cache_capacity": ("capacity of the route cache", ""),
}
"""Gauges of the engine and the ports: name → (help, unit)."""

_SYSTEM: Final[tuple[tuple[str, str, str, str], ...]] = (
    # field of SystemSample, metric name, unit, help
    ("cpu_percent", "system_cpu_percent", "percent", "processor time used on this machine"),
    ("memory_ratio", "system_memory_ratio", "ratio", "memory used on this machine"),
    ("disk_percent", "system_disk_percent", "percent", "disk space used where the data lies"),
    ("network_bytes_per_s", "system_network_bytes_per_second", "", "network bytes per second"),
    ("message_rate", "message_rate", "", "messages received per second"),
    ("gc_cpu_fraction", "process_gc_ratio", "ratio", "share of time spent collecting garbage"),
    ("tasks_count", "process_tasks", "", "event loop tasks and threads"),
    ("heap_objects", "process_heap_objects", "", "objects tracked by the garbage collector"),
    ("resident_bytes", "process_resident_memory_bytes", "bytes", "resident memory"),
    ("allocated_bytes", "process_virtual_memory_bytes", "bytes", "mapped memory"),
    ("open_files", "process_open_fds", "", "open file descriptors"),
)

# This version has none: an alert on 0 finds every node that is open to whoever reaches it.
_CLIENT_AUTHENTICATION: Final = Metric(
    "sprawl_client_authentication_enabled", "gauge", "whether clients must prove who they are"
)

_SCALING: Final = (
    Metric("sprawl_threshold_adjustments", "counter", "threshold adjustments made"),
    Metric("sprawl_threshold_values", "gauge", "values of the scaling thresholds"),
    Metric("sprawl_scaling_recommendations", "counter", "scaling recommendations given"),
    Metric("sprawl_scaling_oscillations", "counter", "scaling recommendations taken back"),
)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by powers of two of nanoseconds; entry *i* holds durations below ``2**i``.

    ``sum_ns`` is None when the source does not keep it.
    """

    counts: tuple[int, ...]
    sum_ns: int | None = None

    @property
    def count(self) -> int:
        """All observations."""
        return sum(self.counts)

    def quantile_ns(self, quantile: float) -> float:
        """The duration below which that share of observations lies, 0 when there are none.

        Linear within a bucket, so the error is at most the bucket's width.
        """
        total = self.count
        if total == 0:
            return 0.0
        wanted, seen = quantile * total, 0
        for index, count in enumerate(self.counts):
            if count and seen + count >= wanted:
                low = 0 if index == 0 else 1 << (index - 1)
                return low + ((1 << index) - low) * max(0.0, wanted - seen) / count
            seen += count
        raise AssertionError("the counts sum to less than their total")

    def mean_ns(self) -> float:
        """The mean duration: exact with a sum, else from the middle of the buckets."""
        total = self.count
        if total == 0:
            return 0.0
        if self.sum_ns is not None:
            return self.sum_ns / total
        return sum(0.75 * (1 << i) * n for i, n in enumerate(self.counts) if i) / total

    def max_ns(self) -> int:
        """The upper bound of the highest bucket that was ever hit."""
        return next((1 << i for i in range(len(self.counts) - 1, 0, -1) if self.counts[i]), 0)


def histogram(stats: Mapping[str, object], stage: str) -> Histogram:
    """The histogram of one stage, empty when the stage has none yet."""
    counts = _section(stats, "histograms").get(stage, ())
    assert isinstance(counts, Sequence)
    total = _section(stats, "sums_ns").get(stage)
    assert total is None or isinstance(total, int)
    return Histogram(tuple(counts), total)


def counter(stats: Mapping[str, object], name: str) -> int:
    """A counter of the engine; 0 before its first event."""
    value = _section(stats, "counters").get(name, 0)
    assert isinstance(value, int)
    return value


def gauge(stats: Mapping[str, object], name: str) -> int:
    """A gauge of the engine; 0 when it has none of this name."""
    value = _section(stats, "gauges").get(name, 0)
    assert isinstance(value, int)
    return value


def families(
    stats: Mapping[str, object], sample: SystemSample, node: Mapping[str, str], uptime_s: float
) -> Iterator[Family]:
    """Every metric with its values, in the order they are written."""
    labels = tuple(node.items())
    yield Family(Metric("sprawl_node", "info", "this node"), (Sample("_info", labels, 1),))
    yield _single(Metric("sprawl_uptime_seconds", "gauge", "time since start", "seconds"), uptime_s)
    yield _single(_CLIENT_AUTHENTICATION, 0)
    yield from _counters(_section(stats, "counters"))
    yield from _gauges(_section(stats, "gauges"))
    yield from _stages(stats)
    for field, name, unit, help_ in _SYSTEM:
        yield _single(Metric(f"sprawl_{name}", "gauge", help_, unit), getattr(sample, field))
    cpu = Metric("sprawl_process_cpu_seconds", "counter", "processor time used", "seconds")
    yield Family(cpu, (Sample("_total", (), sample.cpu_seconds),))
    # Declared without samples until the predictor exists: a series that nothing feeds would lie.
    yield from (Family(metric, ()) for metric in _SCALING)


def _counters(values: Mapping[str, object]) -> Iterator[Family]:
    for name, value in _ordered(values, COUNTERS):
        help_, unit = COUNTERS.get(name, (name.replace("_", " "), ""))
        base = name.removesuffix("_total")
        yield Family(
            Metric(f"sprawl_{base}", "counter", help_, unit), (Sample("_total", (), value),)
        )


def _gauges(values: Mapping[str, object]) -> Iterator[Family]:
    for name, value in _ordered(values, GAUGES):
        help_, unit = GAUGES.get(name, (name.replace("_", " "), ""))
        yield _single(Metric(f"sprawl_{name}", "gauge", help_, unit), value)


def _stages(stats: Mapping[str, object]) -> Iterator[Family]:
    for stage in STAGES:
        if stage not in _section(stats, "histograms"):
            continue
        held = histogram(stats, stage)
        metric = Metric(
            f"sprawl_{stage}_seconds", "histogram", f"duration of one {stage}", "seconds"
        )
        yield Family(metric, tuple(_buckets(held)))


def _buckets(held: Histogram) -> Iterator[Sample]:
    seen = 0
    # The last entry is open above, so it has no bound but +Inf.
    for index, count in enumerate(held.counts[:-1]):
        seen += count
        if 10 <= index <= 34:
            # 1 µs to 17 s: what a latency can be. Durations are whole, so the bound is inclusive.
            yield Sample("_bucket", (("le", repr((2**index - 1) / 1e9)),), seen)
    yield Sample("_bucket", (("le", "+Inf"),), held.count)
    if held.sum_ns is not None:
        # OpenMetrics wants both or neither.
        yield Sample("_count", (), held.count)
        yield Sample("_sum", (), held.sum_ns / 1e9)


def _single(metric: Metric, value: float) -> Family:
    return Family(metric, (Sample("", (), value),))


def _ordered(
    values: Mapping[str, object], described: Mapping[str, object]
) -> Iterator[tuple[str, int]]:
    for name in (*described, *sorted(values.keys() - described.keys())):
        if (value := values.get(name)) is not None:
            assert isinstance(value, int), name
            yield name, value


def _section(stats: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = stats.get(name, {})
    assert isinstance(section, Mapping)
    return section
