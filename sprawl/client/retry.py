"""When to try again: jittered exponential backoff.

In: the number of tries, the error. Out: milliseconds to wait, or "no". Invariant: only errors that
call themselves retryable are tried again, and a node's ``Retry-After`` is a lower bound of the wait.
Source: "full jitter" (Brooker, Exponential Backoff And Jitter).
"""

import random
from dataclasses import dataclass

from sprawl.client import bounds
from sprawl.errors import SprawlError


@dataclass(frozen=True, slots=True)
class Retry:
    """How a call is repeated: at most ``tries_max`` tries inside ``timeout_s``."""

    tries_max: int = bounds.TRIES_MAX
    timeout_s: float = bounds.CALL_TIMEOUT_S
    backoff_ms: int = bounds.BACKOFF_MS
    backoff_ms_max: int = bounds.BACKOFF_MS_MAX

    def wait_s(self, tries: int, error: SprawlError, rng: random.Random) -> float:
        """Seconds to wait after ``tries`` failed tries, the last with ``error``."""
        ceiling_ms = min(self.backoff_ms_max, self.backoff_ms << min(tries - 1, 20))
        wait_s = rng.uniform(ceiling_ms / 2, ceiling_ms) / 1000
        return max(wait_s, float(error.retry_after_s or 0))
