"""The load of machine and process is measured."""

import gc
from pathlib import Path

from sprawl.clock import SECOND_NS, ManualClock
from sprawl.metrics.system import SystemLoad, Trend


def test_a_sample_measures_this_process(tmp_path: Path) -> None:
    clock, messages = ManualClock(), 100
    load = SystemLoad(clock, str(tmp_path), lambda: messages, lambda: 3)
    try:
        messages += 50
        clock.advance(2 * SECOND_NS)
        sample = load.sample()
        assert load.latest is sample
        assert sample.message_rate == 25
        assert 0 <= sample.cpu_percent <= 100
        assert 0 < sample.memory_ratio < 1
        assert 0 < sample.disk_percent <= 100
        assert 5 << 20 < sample.resident_bytes < sample.allocated_bytes
        assert sample.tasks_count >= 4
        assert sample.open_files >= 3
        assert sample.cpu_seconds > 0
        assert sample.heap_objects > 1000
    finally:
        load.close()


def test_the_collectors_time_counts_until_close(tmp_path: Path) -> None:
    before = list(gc.callbacks)
    load = SystemLoad(ManualClock(), str(tmp_path), lambda: 0, lambda: 0)
    assert len(gc.callbacks) == len(before) + 1
    gc.collect()
    load.close()
    load.close()
    assert gc.callbacks == before


def test_a_trend_needs_a_change_of_a_point() -> None:
    trend = Trend()
    assert [trend.after(value) for value in (50.0, 50.4, 50.2)] == [0, 0, 0]
    assert [trend.after(90.0) for _ in range(9)][-1] == 1
    assert [trend.after(1.0) for _ in range(80)][30] == -1
    assert trend.after(1.0) == 0
