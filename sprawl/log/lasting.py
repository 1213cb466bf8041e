"""What of a window must outlive it: topics, low offsets, slot sequences.

In: the index of a window that is about to go, and low offsets. Out: named states, and at the start the engine that
knows them again. Invariants: states are put before their window is cut away; a later window's state
of the same name is the newer one; numbers never fall. Names end in fixed-size big-endian keys.
Source: docs/design/disk.md.

| state | key | value |
|---|---|---|
| ``topic:`` | topic id u64 | its record in ``$sys.topics`` |
| ``low:`` | topic id u64, partition u16 | first offset that may still be read |
| ``slot:`` | slot u16 | newest slot sequence that was cut away |
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from sprawl._native import last_entries, last_sequences, snapshot_entries
from sprawl.limits import STATES_PUT_MAX
from sprawl.log.store import LogStore, counter, counter_of
from sprawl.log.windows import Window

_TOPIC: Final = b"topic:"
_LOW: Final = b"low:"
_SLOT: Final = b"slot:"
_ID: Final = struct.Struct(">Q")
_PLACE: Final = struct.Struct(">QH")
_NUMBER: Final = struct.Struct(">H")
_SECTION: Final = struct.Struct(">QB")
_PARTITIONS, _SLOTS, _BLOOM, _SNAPSHOT = range(1, 5)
# The greatest topic id of the log itself: $sys.topics has 1, $sys.manifest 2.
_INTERNAL_ID_MAX: Final = 2


class Engine(Protocol):
    """What takes the states up."""

    def restore_topic(self, key: bytes, state: bytes) -> None:
        """A topic by its record."""

    def restore_low(self, topic_id: int, partition: int, low: int) -> None:
        """First offset of a partition that may still be read."""

    def restore_sequence(self, slot: int, sequence: int) -> None:
        """Newest sequence of a slot that was cut away."""


def restore_topics(engine: Engine, store: LogStore) -> None:
    """Topics first: the windows that are left may know newer states of them."""
    for name, value in store.state_iter(_TOPIC):
        engine.restore_topic(name[len(_TOPIC) :], value)


def restore_ends(engine: Engine, store: LogStore) -> None:
    """Low offsets and sequences; after all topics are known."""
    for name, value in store.state_iter(_LOW):
        topic_id, partition = _PLACE.unpack(name[len(_LOW) :])
        engine.restore_low(topic_id, partition, counter_of(name, value))
    for name, value in store.state_iter(_SLOT):
        (slot,) = _NUMBER.unpack(name[len(_SLOT) :])
        engine.restore_sequence(slot, counter_of(name, value))


def low_states(lows: Iterable[tuple[int, int, int]]) -> dict[bytes, bytes]:
    """States for (topic id, partition, low offset)."""
    return {
        _LOW + _PLACE.pack(topic_id, partition): counter(low)
        for topic_id, partition, low in lows
        if topic_id
    }


def topic_states(topics: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """States for records of ``$sys.topics`` by their keys."""
    return {_TOPIC + key: record for key, record in topics.items()}


def sequence_states(sequences: Iterable[tuple[int, int]]) -> dict[bytes, bytes]:
    """States for (slot, newest sequence that was cut away)."""
    return {_SLOT + _NUMBER.pack(slot): counter(sequence) for slot, sequence in sequences}


def states_of_topic(store: LogStore, topic_id: int) -> list[bytes]:
    """Names of all states of a topic that is forgotten."""
    key = _ID.pack(topic_id)
    return [_TOPIC + key, *(name for name, _ in store.state_iter(_LOW + key))]


def states_of_window(
    store: LogStore, window: Window, is_known: Callable[[int], bool]
) -> Iterator[dict[bytes, bytes]]:
    """What of a window must be put before it goes, in parts of about ``STATES_PUT_MAX`` states.

    Low offsets of its partitions are above it by then and put by themselves (``low_states``); those
    of the log's own topics are among these. Topics that are forgotten are left out. Raises LogDamaged.
    """
    states: dict[bytes, bytes] = {}
    for states_of_value, section in (
        (_topics, _SNAPSHOT),
        (_ends, _PARTITIONS),
        (_sequences, _SLOTS),
    ):
        for _, value in store.index_iter(_SECTION.pack(window.first_lsn, section)):
            states.update(states_of_value(value, is_known))
            if len(states) >= STATES_PUT_MAX:
                yield states
                states = {}
    if states:
        yield states


def _topics(value: bytes, is_known: Callable[[int], bool]) -> Iterator[tuple[bytes, bytes]]:
    for key, state in snapshot_entries(value):
        # The others are manifests, whose states were put when they were recorded.
        if len(key) == _ID.size and state is not None and is_known(_ID.unpack(key)[0]):
            yield _TOPIC + key, state


def _ends(value: bytes, _: Callable[[int], bool]) -> Iterator[tuple[bytes, bytes]]:
    for topic_id, partition, _slot, base, records, _at in last_entries(value):
        if topic_id <= _INTERNAL_ID_MAX:
            yield _LOW + _PLACE.pack(topic_id, partition), counter(base + records)


def _sequences(value: bytes, _: Callable[[int], bool]) -> Iterator[tuple[bytes, bytes]]:
    for slot, sequence, _epoch in last_sequences(value):
        yield _SLOT + _NUMBER.pack(slot), counter(sequence)
