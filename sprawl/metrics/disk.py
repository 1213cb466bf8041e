"""Figures of the disk tier as counters and gauges.

In: ``DiskFigures``. Out: values under the names of ``registry``. Invariant: each is a number that
the tier has counted itself.
"""

from collections.abc import Sequence
from typing import Final, Protocol

_SECOND_NS: Final = 1_000_000_000


class Figures(Protocol):
    """What is read of the tier's figures."""

    @property
    def state(self) -> str:
        """``ok``, ``warning``, ``refusing`` or ``full``."""

    @property
    def used_bytes(self) -> int:
        """Bytes of pages in use."""

    @property
    def bytes_max(self) -> int:
        """Their bound."""

    @property
    def windows_count(self) -> int:
        """Sealed windows."""

    @property
    def oldest_reader_age_ns(self) -> int:
        """How long the oldest read has been running."""

    @property
    def commits(self) -> int:
        """Commits since the start."""

    @property
    def commit_bytes(self) -> int:
        """Log bytes in them."""

    @property
    def commit_full(self) -> int:
        """Attempts that found no room."""

    @property
    def scrubbed_bytes(self) -> int:
        """Bytes verified in the background."""

    @property
    def damaged(self) -> Sequence[object]:
        """Damaged ranges that are listed."""

    @property
    def damaged_count(self) -> int:
        """Damaged ranges found."""

    @property
    def rebuilt_count(self) -> int:
        """Index blocks that were built again."""

    @property
    def dropped_windows(self) -> int:
        """Windows that were cut away."""


def disk_counters(held: Figures) -> dict[str, int]:
    """Counters since the start."""
    return {
        "disk_commits": held.commits,
        "disk_commit_bytes": held.commit_bytes,
        "disk_full": held.commit_full,
        "disk_windows_dropped": held.dropped_windows,
        "disk_scrubbed_bytes": held.scrubbed_bytes,
        "disk_damaged_ranges": held.damaged_count,
        "disk_indexes_rebuilt": held.rebuilt_count,
    }


def disk_gauges(held: Figures) -> dict[str, int]:
    """Gauges of now."""
    return {
        "disk_windows": held.windows_count,
        "disk_used_bytes": held.used_bytes,
        "disk_bytes_max": held.bytes_max,
        "disk_refuses": int(held.state in ("refusing", "full")),
        "disk_oldest_reader_seconds": held.oldest_reader_age_ns // _SECOND_NS,
    }
