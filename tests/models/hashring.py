"""Consistent hashing with bounded loads, slow and obvious: the oracle of ``sprawl._native.HashRing``.

In: members as ``(id, weight)``. Out: per slot the members that shall hold it, the preferred leader
first. Integers only. Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded
Loads", 2016; docs/design/routing.md.
"""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import xxhash

SLOTS_COUNT = 4096


def shares(weights: Sequence[int], copies_per_slot: int) -> list[Fraction]:
    """The fair share of each member in copies: by weight, but never a slot twice."""
    result = [Fraction(0)] * len(weights)
    copies = Fraction(SLOTS_COUNT * copies_per_slot)
    left = sorted(range(len(weights)), key=lambda member: -weights[member])
    while left:
        total = sum(weights[member] for member in left)
        heaviest = left[0]
        if weights[heaviest] * copies / total < SLOTS_COUNT:
            for member in left:
                result[member] = weights[member] * copies / total
            break
        result[heaviest] = Fraction(SLOTS_COUNT)
        copies -= SLOTS_COUNT
        left.pop(0)
    return result


def bounds(weights: Sequence[int], copies_per_slot: int, epsilon_permille: int) -> list[int]:
    """The most copies that each member may hold."""
    factor = 1 + Fraction(epsilon_permille, 1000)
    return [min(SLOTS_COUNT, ceil(factor * share)) for share in shares(weights, copies_per_slot)]


def placement(
    members: Sequence[tuple[str, int]], replicas: int, epsilon_permille: int
) -> list[list[int]]:
    """Per slot the indexes of its members, the preferred leader first."""
    by_id = sorted(range(len(members)), key=lambda member: members[member][0].encode())
    ids = [members[member][0].encode() for member in by_id]
    weights = [members[member][1] for member in by_id]
    copies_per_slot = min(replicas, len(ids))
    ring = sorted(
        (xxhash.xxh3_64_intdigest(ids[member] + b"\0" + token.to_bytes(4, "little")), member)
        for member in range(len(ids))
        for token in range(weights[member])
    )
    slots: list[list[int]] = [[] for _ in range(SLOTS_COUNT)]
    load = [0] * len(ids)
    for rank in range(copies_per_slot):
        limit = bounds(weights, copies_per_slot if rank else 1, epsilon_permille)
        for slot, held in enumerate(slots):
            point = xxhash.xxh3_64_intdigest(b"slot" + slot.to_bytes(2, "little"))
            start = bisect_left(ring, (point, -1))
            clockwise = ring[start:] + ring[:start]
            for _, member in clockwise:
                if load[member] < limit[member] and member not in held:
                    held.append(member)
                    load[member] += 1
                    break
            else:
                load[make_room(slots, slot, load, limit)] += 1
    return [[by_id[member] for member in held] for held in slots]


def make_room(slots: list[list[int]], slot: int, load: list[int], limit: list[int]) -> int:
    """Gives ``slot`` one more member where all with room hold it already; who got one more copy.

    The shortest chain of exchanges that ends at a member with room; leaders stay unless no chain
    without them exists.
    """
    for first_rank in (1, 0):
        origin: dict[int, tuple[int, int] | None] = {
            member: None for member in range(len(load)) if member not in slots[slot]
        }
        queue = list(origin)
        for member in queue:
            if load[member] < limit[member]:
                taker = member
                while (step := origin[taker]) is not None:
                    giver, at = step
                    slots[at][slots[at].index(giver)] = taker
                    taker = giver
                slots[slot].append(taker)
                return member
            for at, held in enumerate(slots):
                if member in held[first_rank:]:
                    for other in range(len(load)):
                        if other not in held and other not in origin:
                            origin[other] = (member, at)
                            queue.append(other)
    raise AssertionError("bounds that add up to fewer copies than there are")
