"""Placement of the compiled ring against its twin, and its two promises."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprawl._native import HashRing
from tests.models import hashring as model

weights = st.one_of(st.sampled_from([1, 2, 128]), st.integers(1, 200))
members = st.lists(weights, min_size=1, max_size=7).map(
    lambda weights: [(f"né{index}", weight) for index, weight in enumerate(weights)]
)


@settings(max_examples=12, deadline=None)
@given(members, st.integers(1, 4), st.sampled_from([0, 1, 100, 333, 2000]))
def test_the_placement_is_the_twins(members: list[tuple[str, int]], replicas: int, e: int) -> None:
    placed = HashRing(members).placement(replicas, epsilon_permille=e)
    assert placed == model.placement(members, replicas, e)
    load = Counter(member for held in placed for member in held)
    each = min(replicas, len(members))
    bounds = model.bounds([weight for _, weight in members], each, e)
    assert all(load[member] <= bound for member, bound in enumerate(bounds))
    assert all(len(held) == len(set(held)) == each for held in placed)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**32), st.integers(1, 3))
def test_a_member_more_or_less_moves_at_most_one_and_a_half_of_its_share(
    count: int, seed: int, replicas: int
) -> None:
    many = [(f"{seed}-{index}", 128) for index in range(count + 1)]
    before = HashRing(many[:-1]).placement(replicas, epsilon_permille=150)
    after = HashRing(many).placement(replicas, epsilon_permille=150)
    pairs = list(zip(before, after, strict=True))
    bound = 1.5 * 4096 * replicas / (count + 1)
    assert 0 < sum(len(set(new) - set(old)) for old, new in pairs) <= bound


def test_the_order_of_members_plays_no_part() -> None:
    members = [("c", 64), ("a", 128), ("b", 256), ("d", 128)]
    placed = HashRing(members).placement(3, epsilon_permille=100)
    other = HashRing(members[::-1]).placement(3, epsilon_permille=100)
    assert placed == [[3 - member for member in held] for held in other]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "0 members instead of 1 to 1024"),
        ([("a", 1), ("a", 2)], '"a" is named twice'),
        ([("a", 0)], "weight 0, not 1 to 4096"),
        ([("a" * 129, 1)], "129 bytes, not 1 to 128"),
    ],
)
def test_members_out_of_bounds_are_refused(members: list[tuple[str, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HashRing(members)
