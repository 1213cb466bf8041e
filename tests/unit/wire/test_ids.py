"""Ids, slots, names and cursors against their slow twins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl import _native
from sprawl.errors import SprawlError
from tests.models import ids as model

u64 = st.integers(0, 2**64 - 1)
places = st.tuples(u64, st.integers(0, 2**16 - 1))
cursors = st.dictionaries(places, st.tuples(st.integers(0, 2**32 - 1), u64), max_size=64).map(
    lambda found: [(*place, *rest) for place, rest in found.items()]
)


@given(st.text(max_size=300), st.integers(0, 2**32 - 1))
def test_a_slot_is_that_of_the_twin(name: str, partition: int) -> None:
    assert _native.slot_of(name, partition) == model.slot_of(name, partition)


@given(st.binary(max_size=600), st.integers(1, 2**32 - 1))
def test_a_partition_of_a_key_is_that_of_the_twin(key: bytes, partitions: int) -> None:
    assert _native.partition_of_key(key, partitions) == model.partition_of_key(key, partitions)


def test_a_topic_has_a_partition() -> None:
    with pytest.raises(SprawlError, match="partitions 0"):
        _native.partition_of_key(b"", 0)


@given(u64)
def test_a_topic_id_is_that_of_the_twin(topic_id: int) -> None:
    text = model.topic_id_text(topic_id)
    assert _native.topic_id_text(topic_id) == text
    assert _native.topic_id_parse(text) == topic_id


@given(u64, st.integers(0, 2**16 - 1), st.integers(0, 2**63 - 1), st.booleans())
def test_a_message_id_reads_back(topic: int, partition: int, number: int, delayed: bool) -> None:
    text = _native.message_id(topic, partition, number, delayed)
    assert text == f"{model.topic_id_text(topic)}-{partition}-{'d' * delayed}{number}"
    assert _native.message_id_parse(text) == (topic, partition, number, delayed)


@pytest.mark.parametrize("text", ["", "aaaaaaaaaaaaa-0-", "aaaaaaaaaaaaa-0-01", "x" * 100, "é" * 9])
def test_a_foreign_message_id_is_refused(text: str) -> None:
    with pytest.raises(SprawlError) as refused:
        _native.message_id_parse(text)
    assert refused.value.code == "invalid_parameter"


@given(
    st.text("ab.Z_~-9$ */\x00é", max_size=12)
    | st.text(st.sampled_from("a."), min_size=240, max_size=260)
    | st.integers(245, 253).map(lambda length: "a" * length)
)
def test_a_topic_name_is_taken_when_the_twin_takes_it(name: str) -> None:
    if model.is_topic(name):
        _native.check_topic(name)
        return
    with pytest.raises(SprawlError) as refused:
        _native.check_topic(name)
    assert refused.value.code == "invalid_topic"


@given(cursors)
def test_a_cursor_is_that_of_the_twin(entries: list[tuple[int, int, int, int]]) -> None:
    text = model.cursor_encode(entries)
    assert _native.cursor_encode(entries) == text
    assert _native.cursor_decode(text) == sorted(entries) == model.cursor_decode(text)


@given(cursors, st.data())
def test_a_changed_cursor_is_refused(
    entries: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    text = model.cursor_encode(entries)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[at]))
    for bad in (text[:at], text[:at] + other + text[at + 1 :], text + "=", text + "A" * 2000):
        with pytest.raises(SprawlError) as refused:
            _native.cursor_decode(bad)
        assert refused.value.code == "invalid_cursor"


def test_a_cursor_over_too_much_is_refused() -> None:
    with pytest.raises(SprawlError) as refused:
        _native.cursor_encode([(1, partition, 0, 0) for partition in range(65)])
    assert refused.value.code == "too_many_partitions"
    with pytest.raises(SprawlError, match="twice"):
        _native.cursor_encode([(1, 2, 0, 0), (1, 2, 0, 1)])
