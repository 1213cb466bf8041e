"""Figures of the cloud tier as counters and gauges.

In: ``CloudFigures``. Out: values under the names of ``registry``. Invariant: each is a number that
the tier has counted itself.
"""

from typing import Protocol


class Figures(Protocol):
    """What is read of the tier's figures; sizes in bytes."""

    @property
    def is_degraded(self) -> bool:
        """Whether the last step failed."""

    @property
    def segments_count(self) -> int:
        """Segments that are named."""

    @property
    def stored_bytes(self) -> int:
        """Bytes of their files."""

    @property
    def moved_windows(self) -> int:
        """Windows that went there since the start."""

    @property
    def uploaded_bytes(self) -> int:
        """Bytes of objects put."""

    @property
    def waiting_windows(self) -> int:
        """Sealed windows that are still local."""

    @property
    def lag_s(self) -> float:
        """Age of the oldest of them."""

    @property
    def reads(self) -> int:
        """Pages read."""

    @property
    def requests(self) -> int:
        """Requests for them."""

    @property
    def fetched_bytes(self) -> int:
        """Bytes that came."""

    @property
    def kept_reads(self) -> int:
        """Row groups and footers found in memory."""

    @property
    def failed_reads(self) -> int:
        """Reads that failed."""


def cloud_counters(held: Figures) -> dict[str, int]:
    """Counters since the start."""
    return {
        "cloud_windows_moved": held.moved_windows,
        "cloud_uploaded_bytes": held.uploaded_bytes,
        "cloud_reads": held.reads,
        "cloud_requests": held.requests,
        "cloud_fetched_bytes": held.fetched_bytes,
        "cloud_kept_reads": held.kept_reads,
        "cloud_failed_reads": held.failed_reads,
    }


def cloud_gauges(held: Figures) -> dict[str, int]:
    """Gauges of now."""
    return {
        "cloud_degraded": int(held.is_degraded),
        "cloud_segments": held.segments_count,
        "cloud_stored_bytes": held.stored_bytes,
        "cloud_waiting_windows": held.waiting_windows,
        "cloud_lag_seconds": int(held.lag_s),
    }
