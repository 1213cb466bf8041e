"""What retention takes of what memory has let go of, and what keeps a window."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl.limits import RETIRE_BATCHES_MAX
from sprawl.log.retention import ColdSpan, Overdue, retire_cold

PLACE = (5, 0)
NEVER = -(2**63)


def dense(*bounds: int) -> list[ColdSpan]:
    """Ranges between bounds with a record each offset, of ten bytes, at its offset's time."""
    pairs = itertools.pairwise(bounds)
    return [(a, b - 1, b - a, 10 * (b - a), a, b - 1) for a, b in pairs]


def due(
    low: int = 0,
    *,
    before_ns: int = NEVER,
    size: int = 0,
    records: int = 0,
    cold_end: int = 30,
    end: int = 100,
    keeps_last: bool = False,
) -> Overdue:
    return PLACE, low, end, before_ns, size, records, keeps_last, cold_end


RANGES = dense(0, 10, 20, 30)


@pytest.mark.parametrize(
    ("overdue", "expected"),
    [
        (due(records=4), (4, 4, 40, 0)),
        (due(records=10), (10, 10, 100, 10)),
        (due(records=25), (25, 25, 250, 20)),
        (due(records=99), (30, 30, 300, 29)),
        (due(5, records=4), (9, 4, 40, 0)),
        (due(size=100), (10, 10, 100, 10)),
        (due(size=101), (11, 11, 110, 10)),
        (due(5, size=1), (6, 1, 10, 0)),
        # By age a range goes once all of it is over.
        (due(before_ns=9), (0, 0, 0, 0)),
        (due(before_ns=10), (10, 10, 100, 10)),
        (due(before_ns=10, records=12, size=30), (12, 12, 120, 10)),
        # The newest record of a partition that is nowhere else stays whatever its size.
        (due(size=300, end=30, keeps_last=True), (29, 29, 290, 20)),
        (due(size=300, end=31, keeps_last=True), (30, 30, 300, 29)),
        (due(before_ns=99, size=300, end=30, keeps_last=True), (30, 30, 300, 29)),
        # What is recorded and still on disk counts there.
        (due(records=99, cold_end=20), (20, 20, 200, 19)),
    ],
)
def test_the_oldest_in_the_cloud_goes(overdue: Overdue, expected: tuple[int, ...]) -> None:
    ranges = [cold for cold in RANGES if cold[1] >= overdue[1]]
    assert retire_cold(ranges, overdue) == (PLACE, *expected)


def test_one_look_takes_so_many_ranges() -> None:
    ranges = dense(*range(RETIRE_BATCHES_MAX + 5))
    cold_end = RETIRE_BATCHES_MAX + 4
    _, low, records, _, oldest_ns = retire_cold(ranges, due(records=cold_end, cold_end=cold_end))
    assert (low, records, oldest_ns) == (RETIRE_BATCHES_MAX,) * 3


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50), st.integers(0, 50)), min_size=1),
    st.integers(0, 200),
    st.integers(0, 20_000),
    st.integers(0, 100),
)
def test_no_more_goes_than_is_over_and_it_ends(
    plan: Sequence[tuple[int, int, int]], records: int, size: int, low: int
) -> None:
    ranges: list[ColdSpan] = []
    end = 0
    for gap, count, hollow in plan:
        first, last = end + gap, end + gap + count + hollow - 1
        ranges.append((first, last, count, 7 * count, first, last))
        end = last + 1
    low = min(low, end - 1)
    ranges = [cold for cold in ranges if cold[1] >= low]
    place, cut, taken, taken_size, _ = retire_cold(
        ranges, due(low, records=records, size=size, cold_end=end)
    )
    assert place == PLACE
    assert low <= cut <= end
    if records == size == 0:
        assert (cut, taken, taken_size) == (low, 0, 0)
    if cut < end and (records or size):
        # Enough went, and not a whole range's worth more than that.
        assert taken >= records or taken_size >= size
        assert taken <= max(records, size // 7 + 1) + 50
