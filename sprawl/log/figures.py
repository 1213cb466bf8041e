"""What the disk and the cloud tier say of themselves.

In: nothing. Out: ``DiskFigures``, ``CloudFigures``. Invariant: reading them waits for nothing; figures that need a
look at the disk are a second old at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DamagedRange:
    """Offsets ``[first, end)`` of a partition that cannot be read any more."""

    topic_id: int
    partition: int
    first: int
    end: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFigures:
    """Sizes in bytes; ``bytes_max`` is the bound of the tier, or what its map can hold.

    ``state`` is ``ok``, ``warning`` (80 % of the bound), ``refusing`` (95 %), or ``full`` (no room
    on the disk). ``commit_counts`` are by powers of two of nanoseconds.
    """

    path: str
    state: str
    used_bytes: int
    bytes_max: int
    windows_count: int
    first_lsn: int
    oldest_reader_age_ns: int
    commits: int
    commit_bytes: int
    commit_full: int
    commit_counts: Sequence[int]
    commit_sum_ns: int
    scrubbed_bytes: int
    damaged: Sequence[DamagedRange]
    damaged_count: int
    rebuilt_count: int
    dropped_windows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFigures:
    """Sizes in bytes; ``lag_s`` is the age of the oldest sealed window that is still local.

    ``error`` is why the last step failed, empty while the tier works. ``kept_reads`` are row groups
    and footers that a read found in memory, ``requests`` those it fetched.
    """

    endpoint: str
    bucket: str
    prefix: str
    is_degraded: bool
    error: str
    segments_count: int
    stored_bytes: int
    moved_windows: int
    uploaded_bytes: int
    waiting_windows: int
    lag_s: float
    reads: int
    requests: int
    fetched_bytes: int
    kept_reads: int
    failed_reads: int
