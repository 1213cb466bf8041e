"""The load of the machine and of this process, sampled once a second.

In: a clock, the directory whose disk counts, and a function that counts received messages. Out:
``SystemSample``. Invariants: one sample takes well under a millisecond; figures are measured, never
constants; rates are over the time since the sample before. Source: psutil.
"""

import gc
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from sprawl.clock import SECOND_NS, Clock
from sprawl.metrics.registry import SystemSample

# A change between two means of this many samples, in points of a percent, is a trend.
_TREND_SAMPLES: Final = 30
_TREND_POINTS: Final = 1.0


class GcClock:
    """How long the garbage collector ran, by its own callbacks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns = 0
        self.total_ns = 0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        """Called by the collector at ``start`` and ``stop``."""
        now_ns = self._clock.monotonic_ns()
        if phase == "start":
            self._since_ns = now_ns
        else:
            self.total_ns += now_ns - self._since_ns


class SystemLoad:
    """Takes samples; ``close`` ends its part in the garbage collector."""

    def __init__(
        self,
        clock: Clock,
        directory: str,
        message_count: Callable[[], int],
        task_count: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._message_count = message_count
        self._task_count = task_count
        self._process = psutil.Process()
        self._gc = GcClock(clock)
        gc.callbacks.append(self._gc)
        psutil.cpu_percent(None)
        self._at_ns = clock.monotonic_ns()
        self._messages = message_count()
        self._network_bytes = _network_bytes()
        self._gc_ns = 0
        self._cpu = Trend()
        self._memory = Trend()
        self.latest = self._sample(1.0)

    def sample(self) -> SystemSample:
        """Measures now; rates cover the time since the last call."""
        now_ns = self._clock.monotonic_ns()
        elapsed_s = max((now_ns - self._at_ns) / SECOND_NS, 1e-3)
        self._at_ns = now_ns
        self.latest = self._sample(elapsed_s)
        return self.latest

    def close(self) -> None:
        """Ends the measuring of the garbage collector."""
        if self._gc in gc.callbacks:
            gc.callbacks.remove(self._gc)

    def _sample(self, elapsed_s: float) -> SystemSample:
        messages, network_bytes = self._message_count(), _network_bytes()
        received, moved = messages - self._messages, network_bytes - self._network_bytes
        gc_ns = self._gc.total_ns - self._gc_ns
        self._messages, self._network_bytes = messages, network_bytes
        self._gc_ns = self._gc.total_ns
        cpu_percent = psutil.cpu_percent(None)
        memory_ratio = psutil.virtual_memory().percent / 100
        with self._process.oneshot():
            memory, times = self._process.memory_info(), self._process.cpu_times()
        return SystemSample(
            cpu_percent=cpu_percent,
            memory_ratio=memory_ratio,
            disk_percent=psutil.disk_usage(self._directory).percent,
            network_bytes_per_s=max(moved, 0) / elapsed_s,
            message_rate=max(received, 0) / elapsed_s,
            cpu_trend=self._cpu.after(cpu_percent),
            memory_trend=self._memory.after(memory_ratio * 100),
            gc_cpu_fraction=min(gc_ns / SECOND_NS / elapsed_s, 1.0),
            tasks_count=self._task_count() + threading.active_count(),
            heap_objects=sys.getallocatedblocks(),
            allocated_bytes=memory.vms,
            resident_bytes=memory.rss,
            open_files=_open_files(),
            cpu_seconds=times.user + times.system,
        )


class Trend:
    """−1, 0 or 1: whether a figure's newer half lies below, about or above its older half."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def after(self, value: float) -> int:
        """The trend with one more value."""
        self._values.append(value)
        del self._values[: -2 * _TREND_SAMPLES]
        half = len(self._values) // 2
        if half == 0:
            return 0
        older = sum(self._values[:half]) / half
        newer = sum(self._values[half:]) / (len(self._values) - half)
        if abs(newer - older) < _TREND_POINTS:
            return 0
        return 1 if newer > older else -1


def _open_files() -> int:
    """Open descriptors; Linux 6.2 and later say it in one call, else the entries are counted."""
    try:
        own = Path("/proc/self/fd")
        return own.stat().st_size or sum(1 for _ in own.iterdir())
    except FileNotFoundError:
        return int(psutil.Process().num_fds())


def _network_bytes() -> int:
    counters = psutil.net_io_counters()
    return int(counters.bytes_recv + counters.bytes_sent) if counters else 0
