"""The compiled slot table against its twin, on random tables."""

import struct
from random import Random

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from sprawl._native import SlotTable
from tests.models import slots as model


@st.composite
def tables(draw: st.DrawFn) -> model.SlotTable:
    members = draw(st.lists(st.text("abé-0", min_size=1, max_size=12), min_size=1, unique=True))
    indexes = list(range(len(members)))

    def entry() -> model.Entry:
        few = st.lists(st.sampled_from(indexes), min_size=1, max_size=7, unique=True)
        replicas = draw(few)
        leader = draw(st.sampled_from([None, *replicas]))
        in_sync = draw(st.integers(0, 2 ** len(replicas) - 1))
        return leader, draw(st.integers(0, 2**32 - 1)), replicas, in_sync

    some = [entry() for _ in range(4)]
    picks = Random(draw(st.integers(0, 2**32)))  # a draw for each slot would be too much data
    entries = [picks.choice(some) for _ in range(model.SLOTS_COUNT)]
    return model.SlotTable(members, entries, draw(st.integers(0, 2**64 - 1)))


@settings(max_examples=25, deadline=None)
@given(tables())
def test_a_table_and_its_bytes_say_what_the_twin_says(twin: model.SlotTable) -> None:
    table = SlotTable(twin.members, twin.slots, twin.table_epoch)
    assert table.encode() == twin.encode()
    again = SlotTable.decode(twin.encode())
    assert again == table
    assert again.members == twin.members
    assert again.table_epoch == twin.table_epoch
    assert again.entries() == twin.slots
    for slot in (0, 1, 2047, 4095):
        leader, epoch, _, _ = twin.slots[slot]
        assert (again.leader(slot), again.epoch(slot)) == (leader, epoch)
        assert again.leader_id(slot) == (None if leader is None else twin.members[leader])


@settings(max_examples=25, deadline=None)
@given(tables(), st.data())
def test_damaged_bytes_are_refused(twin: model.SlotTable, data: st.DataObject) -> None:
    encoded = bytearray(twin.encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ValueError, match="slot table"):
        SlotTable.decode(bytes(encoded[:at]))
    encoded[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="slot table"):
        SlotTable.decode(bytes(encoded))


def test_a_cluster_of_one_leads_every_slot() -> None:
    table = SlotTable.single("n1", 3)
    assert table.entries() == [(0, 3, [0], 1)] * model.SLOTS_COUNT
    assert (table.members, table.table_epoch) == (["n1"], 3)
    assert (table.member("n1"), table.member("n2")) == (0, None)


def test_a_right_checksum_does_not_excuse_a_broken_invariant() -> None:
    body = bytearray(SlotTable.single("n1", 3).encode()[:-8])
    struct.pack_into("<H", body, 16 + 3 + 4, 1)  # slot 0 is led by a member that is not there
    with pytest.raises(ValueError, match="slot 0 is led by 1, which does not hold it"):
        SlotTable.decode(bytes(body) + struct.pack("<Q", xxhash.xxh3_64_intdigest(bytes(body))))


def test_a_slot_above_the_last_is_an_index_error() -> None:
    table = SlotTable.single("n1", 3)
    for lookup in (table.leader, table.leader_id, table.epoch):
        with pytest.raises(IndexError, match="slot 4096 is not below slots_count 4096"):
            lookup(4096)
