"""Latencies by buckets of one percent: any number of values in a few kilobytes.

In: nanoseconds with a weight. Out: quantiles, each at most one percent above the true value.
"""

import math
from collections import Counter
from typing import Final

_GROWTH: Final = math.log(1.01)


class Histogram:
    """Counts of values by the logarithm of their size."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets: Counter[int] = Counter()

    def add(self, value_ns: int, weight: int = 1) -> None:
        """Counts ``value_ns`` (at least 1) ``weight`` times."""
        value_ns = max(value_ns, 1)
        self._buckets[math.ceil(math.log(value_ns) / _GROWTH)] += weight
        self.count += weight
        self.max_ns = max(self.max_ns, value_ns)

    def quantile_ns(self, share: float) -> int:
        """The value that ``share`` of all values do not exceed; 0 when there are none."""
        wanted = math.ceil(share * self.count)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(math.ceil(math.exp(bucket * _GROWTH)), self.max_ns)
        return 0

    def milliseconds(self) -> dict[str, float]:
        """p50, p90, p99, p99.9 and the maximum."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
        found = {name: self.quantile_ns(share) / 1e6 for name, share in shares.items()}
        return {
            name: round(value, 3) for name, value in (found | {"max": self.max_ns / 1e6}).items()
        }
