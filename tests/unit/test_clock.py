"""Clocks and the spellings of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl.clock import SECOND_NS, ManualClock, go_duration, parse_duration, rfc3339


@pytest.mark.parametrize(
    ("elapsed_ns", "text"),
    [
        (0, "0s"),
        (7, "7ns"),
        (1_500, "1.5µs"),
        (250_000_000, "250ms"),
        (SECOND_NS, "1s"),
        (60 * SECOND_NS, "1m0s"),
        (12_075_200_000_000, "3h21m15.2s"),
        (-90 * SECOND_NS, "-1m30s"),
    ],
)
def test_durations_are_written_as_go_writes_them(elapsed_ns: int, text: str) -> None:
    assert go_duration(elapsed_ns) == text
    assert parse_duration(text) == elapsed_ns


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_every_duration_reads_back(elapsed_ns: int) -> None:
    assert parse_duration(go_duration(elapsed_ns)) == elapsed_ns


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s ", "1m,5s", "--1s", "1.2.3s", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_times_are_utc_without_trailing_zeros() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_767_225_600_500_000_000) == "2026-01-01T00:00:00.5Z"


def test_a_step_of_the_wall_clock_leaves_elapsed_time_alone() -> None:
    clock = ManualClock(100)
    clock.advance(5)
    clock.step(-50)
    assert (clock.now_ns(), clock.monotonic_ns()) == (55, 5)
