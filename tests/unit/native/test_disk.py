"""The disk tier's values against their slow twin, and what a scan says of damaged ones."""

import itertools
import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprawl import _native
from sprawl.errors import LogDamaged, SprawlError
from tests.models import disk as model
from tests.models import envelope as envelope_model

Pairs: TypeAlias = list[tuple[bytes, bytes]]

FIRST = 1 << 40
NAMES = [b"a", b"orders", b"orders.eu", b"t" * 249]


# Kind, topic, partition, sizes of the values (-1: null), leap of offsets and of sequences, time since
# the one before.
batches = st.tuples(
    st.sampled_from([1, 2, 3, 2**64 - 1]),
    st.integers(0, 2),
    st.lists(st.integers(-1, 9), min_size=1, max_size=3),
    st.sampled_from([0, 0, 0, 5, 2**24]),
    st.integers(1, 3),
    st.integers(0, 3),
)


def log_of(
    plan: list[tuple[int, int, list[int], int, int, int]], now_ns: int, large: tuple[int, int]
) -> bytes:
    """Envelopes as a node appends them: few partitions and slots, ascending numbers and times."""
    out = b""
    ends: dict[tuple[int, int], int] = {}
    sequences: dict[int, int] = {}
    for number, (topic_id, partition, sizes, leap, step, after_ns) in enumerate(plan):
        kind = {1: 2, 2: 3}.get(topic_id, 1)
        slot = (topic_id + partition) % 3 * 2000
        key = NAMES[len(sizes)] + bytes([kind]) if kind != 1 else None
        values = [None if size < 0 else bytes([size]) * size for size in sizes]
        if kind == 1 and number == large[0]:
            values.append(b"x" * large[1])
        base = ends.get((topic_id, partition), 0) + leap
        ends[topic_id, partition] = base + len(values)
        sequences[slot] = sequences.get(slot, 0) + step
        now_ns += after_ns
        fields = envelope_model.Envelope(
            kind, slot, 7, partition, sequences[slot], topic_id, now_ns, 0, len(values)
        )
        encoded = _native.encode_batch([(key, value, None, 0) for value in values])
        out += envelope_model.seal(fields, base.to_bytes(8, "big") + encoded[8:])
    return out


def logs(max_size: int = 30) -> st.SearchStrategy[bytes]:
    """Logs of some envelopes, one of which may be larger than two values."""
    plan = st.lists(batches, min_size=1, max_size=max_size)
    large = st.tuples(st.integers(0, max_size), st.integers(0, 150_000))
    return st.builds(log_of, plan, st.integers(-5, 2**50), large)


def parted(data: st.DataObject, log: bytes) -> list[bytes]:
    """The log as several parts, some of them empty."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    return [log[a:b] for a, b in itertools.pairwise([0, *cuts, len(log)])]


def plain(pairs: Sequence[tuple[bytes, object]]) -> Pairs:
    """Keys and values as bytes."""
    return [(key, bytes(memoryview(value))) for key, value in pairs]  # type: ignore[arg-type]


def section(pairs: Pairs, number: int) -> Pairs:
    """The values of one section, in the order of their keys."""
    return [(key, value) for key, value in pairs if key[8] == number]


def place(pairs: Pairs, key: bytes) -> int:
    """Index of the greatest key <= the wanted one, or 0."""
    return max(0, bisect_right([k for k, _ in pairs], key) - 1)


@settings(max_examples=40)
@given(logs(), st.data())
def test_the_log_is_cut_as_the_twin_cuts_it(log: bytes, data: st.DataObject) -> None:
    pairs = plain(_native.cut_log(FIRST, parted(data, log)))
    assert pairs == model.cut(FIRST, log)
    assert b"".join(value[16:] for _, value in pairs) == log
    begins = {item.lsn for item in model.stored(FIRST, log)}
    firsts = [_native.check_log_value(key, value) for key, value in pairs]
    assert firsts[0] == FIRST
    assert {first for first in firsts if first is not None} <= begins


@settings(max_examples=40)
@given(logs(), st.data(), st.booleans())
def test_a_window_is_what_the_twin_makes_of_it(
    log: bytes, data: st.DataObject, verify: bool
) -> None:
    header, pairs = _native.build_window(FIRST, parted(data, log), verify)
    expected = model.build(FIRST, log)
    assert plain(pairs) == expected
    assert _native.window_header(expected[0][1]) == header
    assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
    for key, value in pairs:
        _native.check_index_value(key, value)
    found = [e for _, value in section(expected, 4) for e in _native.snapshot_entries(value)]
    assert dict(found) == model.states(model.stored(FIRST, log))
    assert plain([(b"", v) for v in _native.snapshot_pack(found)]) == [
        (b"", value) for _, value in section(expected, 4)
    ]


@settings(max_examples=40)
@given(logs(), st.integers(0, 2**25), st.integers(0, 5000), st.integers(0, 130))
def test_batches_are_found_by_offset_time_and_sequence(
    log: bytes, offset: int, bytes_max: int, after_ns: int
) -> None:
    _, made = _native.build_window(FIRST, [log], False)
    pairs, items = plain(made), model.stored(FIRST, log)
    window = struct.pack(">Q", FIRST)
    since_ns = items[0].envelope.append_ns + after_ns
    for topic_id, partition in itertools.product([1, 2, 3, 4, 2**64 - 1], range(4)):
        one = section(pairs, 1)
        at = place(one, window + b"\1" + struct.pack(">QHQ", topic_id, partition, offset))
        found, is_more = _native.find_entries(one[at][1], topic_id, partition, offset, bytes_max)
        wanted = model.find(items, topic_id, partition, offset=offset)
        assert [entry[0] for entry in found] == [item.base for item in wanted][: len(found)]
        assert [FIRST + entry[1] for entry in found] == [i.lsn for i in wanted][: len(found)]
        assert [entry[2] for entry in found] == [i.length for i in wanted][: len(found)]
        assert len(found) >= min(1, len(wanted))
        assert sum(entry[2] for entry in found[1:]) <= bytes_max
        if len(found) < len(wanted):
            assert not is_more
            assert sum(item.length for item in wanted[: len(found) + 1]) > bytes_max
        since, _ = _native.find_entries_since(one[at][1], topic_id, partition, since_ns)
        late = model.find(items, topic_id, partition, since_ns=since_ns)
        assert [entry[0] for entry in since] == [item.base for item in late[:1]]

        bloom_bytes = _native.window_header(pairs[0][1])["bloom_bytes"]
        spot = _native.bloom_place(topic_id, partition, bloom_bytes)
        assert spot is not None
        value = section(pairs, 3)[spot[0]][1]
        bits = model.bloom_bits(topic_id, partition, bloom_bytes)
        assert {bit // 512 * 64 for bit in bits} == {spot[0] * 63 * 64 + spot[1]}
        admits = _native.bloom_admits(value, topic_id, partition, bloom_bytes)
        body = b"".join(v[16:] for _, v in section(pairs, 3))
        assert admits == all(body[bit // 8] >> bit % 8 & 1 for bit in bits)
        assert admits or not model.find(items, topic_id, partition)
    for slot in (0, 2000, 4000, 4095):
        own = [i for i in items if i.envelope.slot == slot and i.envelope.sequence >= offset % 7]
        two = section(pairs, 2)
        sequences, _ = _native.find_sequences(two[0][1], slot, offset % 7, 3)
        assert sequences == [
            (i.envelope.sequence, i.lsn - FIRST, i.envelope.epoch) for i in own[:3]
        ]
    lasts = {(i.envelope.topic_id, i.envelope.partition): i.base for i in items}
    assert {e[:2]: e[3] for e in _native.last_entries(section(pairs, 1)[0][1])} == lasts
    slots = {i.envelope.slot: (i.envelope.slot, i.envelope.sequence, 7) for i in items}
    assert _native.last_sequences(section(pairs, 2)[0][1]) == sorted(slots.values())


def test_lookups_go_on_over_the_borders_of_values() -> None:
    count = 2 * 1637 + 5
    log = b"".join(
        envelope_model.seal(
            envelope_model.Envelope(1, 9, 1, 0, n + 1, 5 + n % 2, n, 0, 1),
            (n // 2).to_bytes(8, "big") + EMPTY[8:],
        )
        for n in range(count)
    )
    header, made = _native.build_window(FIRST, [log], True)
    pairs = plain(made)
    assert header["pieces"] == (3, 2, 1, 0)
    one = section(pairs, 1)
    found: list[int] = []
    for _, value in one:
        entries, is_more = _native.find_entries(value, 6, 0, 0, 1 << 40)
        found += [entry[0] for entry in entries]
        # The value may end with the partition: only looking into the next one tells.
        assert is_more
    assert found == list(range(count // 2))
    two = section(pairs, 2)
    sequences, is_more = _native.find_sequences(two[0][1], 9, 1, count)
    rest, is_more_still = _native.find_sequences(two[1][1], 9, 1, count - len(sequences))
    assert is_more
    assert not is_more_still
    assert [entry[0] for entry in sequences + rest] == list(range(1, count + 1))


@settings(max_examples=40)
@given(logs(), st.data())
def test_a_flipped_bit_of_an_index_value_is_found(log: bytes, data: st.DataObject) -> None:
    _, made = _native.build_window(FIRST, [log], False)
    key, value = data.draw(st.sampled_from(plain(made)))
    bad = bytearray(value)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LogDamaged):
        _native.check_index_value(key, bytes(bad))
    with pytest.raises(LogDamaged):
        _native.check_index_value(key, value[: data.draw(st.integers(0, len(value) - 1))])
    with pytest.raises(LogDamaged):
        _native.check_index_value(key[:-1], value)


def scan(pairs: Pairs, first: int = FIRST) -> list[tuple[str, int, int, str, object]]:
    """All events of a scan."""
    scanner = _native.LogScan(first)
    return [*itertools.chain(*(scanner.feed(k, v) for k, v in pairs)), *scanner.finish()]


def whole(events: list[tuple[str, int, int, str, object]]) -> list[tuple[int, int]]:
    """The verified ranges, joined."""
    out: list[tuple[int, int]] = []
    for what, start, end, *_ in events:
        if what == "whole":
            last = out.pop() if out and out[-1][1] == start else (start, start)
            out.append((last[0], end))
    return out


def tiles(events: list[tuple[str, int, int, str, object]], end: int) -> None:
    """Whole, damaged and torn ranges follow each other from the first position to the end."""
    at = FIRST
    for what, start, stop, *_ in events:
        if what in ("whole", "damaged", "torn"):
            assert start == at < stop
            at = stop
    assert at == end


@given(st.lists(logs(12), min_size=1, max_size=4))
def test_a_whole_log_is_scanned_whole(ticks: list[bytes]) -> None:
    pairs, lsn = [], FIRST
    for tick in ticks:
        pairs += plain(_native.cut_log(lsn, [tick]))
        lsn += len(tick)
    events = scan(pairs)
    assert {what for what, *_ in events} == {"whole"}
    assert whole(events) == [(FIRST, lsn)]


@settings(max_examples=40)
@given(logs(), st.data())
def test_a_flipped_bit_costs_one_envelope(log: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(log) - 1))
    bad = bytearray(log)
    bad[at] ^= 1 << data.draw(st.integers(0, 7))
    pairs = [
        (k, v[:16] + bad[n * 65504 :][:65504]) for n, (k, v) in enumerate(model.cut(FIRST, log))
    ]
    events = scan(pairs)
    tiles(events, FIRST + len(log))
    hit = next(i for i in model.stored(FIRST, log) if i.lsn <= FIRST + at < i.lsn + i.length)
    parts = [(FIRST, hit.lsn), (hit.lsn + hit.length, FIRST + len(log))]
    assert whole(events) == [part for part in parts if part[0] < part[1]]
    lost = [event for event in events if event[0] in ("damaged", "torn")]
    assert [event[1:3] for event in lost] == [(hit.lsn, hit.lsn + hit.length)]
    if at - (hit.lsn - FIRST) not in range(20, 76):  # the bytes that it says its offsets with
        e = hit.envelope
        assert lost[0][4] == (e.topic_id, e.partition, hit.base, e.records_count)


@settings(max_examples=40)
@given(logs(), st.data())
def test_a_lost_or_refused_value_costs_what_it_touches(log: bytes, data: st.DataObject) -> None:
    pairs = model.cut(FIRST, log)
    index = data.draw(st.integers(0, len(pairs) - 1))
    start = FIRST + index * 65504
    end = min(start + 65504, FIRST + len(log))
    is_refused = data.draw(st.booleans())
    pairs[index:][:1] = []
    bad = [(pairs[index][0], b"\2" + pairs[index][1][1:])] if is_refused else []
    pairs[index : index + 1] = bad
    events = scan(pairs)
    items = model.stored(FIRST, log)
    kept = [i for i in items if i.lsn + i.length <= start or i.lsn >= end]
    assert sum(b - a for a, b in whole(events)) == sum(i.length for i in kept)
    assert is_refused == any(what == "value" for what, *_ in events)
    if is_refused or end < FIRST + len(log):
        assert ("hole", start, end, "", None) in events
        tiles(events, FIRST + len(log))


@settings(max_examples=40)
@given(logs(), st.data())
def test_a_cut_log_ends_torn(log: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(log)))
    pairs = []
    for key, value in model.cut(FIRST, log):
        left = at - (int.from_bytes(key, "big") - FIRST)
        if left > 0:
            body = value[16:][:left]
            first = int.from_bytes(value[1:4], "little")
            first = first if first < len(body) else model.NONE
            head = b"\1" + first.to_bytes(3, "little") + len(body).to_bytes(4, "little")
            pairs.append((key, head + value[8:16] + body))
    events = scan(pairs)
    ends = [i.lsn + i.length for i in model.stored(FIRST, log) if i.lsn + i.length <= FIRST + at]
    last = max(ends, default=FIRST)
    assert whole(events) == ([(FIRST, last)] if last > FIRST else [])
    torn = [(event[1], event[2]) for event in events if event[0] != "whole"]
    assert torn == ([(last, FIRST + at)] if last < FIRST + at else [])


@settings(max_examples=40)
@given(logs(), st.data())
def test_a_wrong_beginning_is_told_and_costs_nothing(log: bytes, data: st.DataObject) -> None:
    pairs = model.cut(FIRST, log)
    index = data.draw(st.integers(0, len(pairs) - 1))
    key, value = pairs[index]
    wrong = data.draw(st.sampled_from([model.NONE, *range(min(300, len(value) - 16))]))
    pairs[index] = (key, value[:1] + wrong.to_bytes(3, "little") + value[4:])
    events = scan(pairs)
    assert whole(events) == [(FIRST, FIRST + len(log))]
    assert any(what == "value" for what, *_ in events) == (pairs[index] != (key, value))


def test_an_envelope_inside_a_payload_is_never_taken_for_one() -> None:
    forged = envelope_model.seal(envelope_model.Envelope(1, 1, 1, 0, 1, 666, 1, 0, 1), EMPTY)
    payload = forged * 400
    outer = envelope_model.Envelope(1, 1, 1, 0, 1, 5, 1, 0, 1)
    log = envelope_model.seal(outer, _native.encode_batch([(None, payload, None, 0)]))
    # The whole head is gone, so that no length leads on: only the next value's beginning does.
    bad = bytes(80) + log[80:]
    good = envelope_model.seal(envelope_model.Envelope(1, 1, 1, 0, 2, 5, 1, 0, 1), EMPTY)
    first = [(key, value[:16] + bad) for key, value in model.cut(FIRST, log)]
    assert len(first) == 1
    events = scan(first + model.cut(FIRST + len(log), good))
    assert whole(events) == [(FIRST + len(log), FIRST + len(log) + len(good))]
    assert next(event[:3] for event in events) == ("damaged", FIRST, FIRST + len(log))


def test_damage_is_left_out_of_a_window() -> None:
    parts = [
        envelope_model.seal(envelope_model.Envelope(1, 1, 1, 0, n, 5, n, 0, 1), base + EMPTY[8:])
        for n, base in enumerate(n.to_bytes(8, "big") for n in range(3))
    ]
    size = len(parts[0])
    skip = [(FIRST + size, FIRST + 2 * size)]
    header, _ = _native.build_window(FIRST, [parts[0], bytes(size), parts[2]], True, skip)
    assert (header["batches"], header["end_lsn"]) == (2, FIRST + 3 * size)
    for bad in ([(FIRST + 1, FIRST + 2)], [(FIRST + size, FIRST + 4 * size)], [*skip, *skip]):
        with pytest.raises(LogDamaged):
            _native.build_window(FIRST, [parts[0], bytes(size), parts[2]], True, bad)
    with pytest.raises(LogDamaged, match="version 0"):
        _native.build_window(FIRST, [parts[0], bytes(size), parts[2]], True)
    header, pairs = _native.build_window(FIRST, [bytes(size)], True, [(FIRST, FIRST + size)])
    assert (header["batches"], header["bloom_bytes"], len(pairs)) == (0, 0, 1)
    assert _native.bloom_place(5, 0, 0) is None


def test_what_does_not_ascend_or_is_not_whole_is_not_written() -> None:
    def one(base: int, sequence: int, kind: int = 1) -> bytes:
        fields = envelope_model.Envelope(kind, 1, 1, 0, sequence, 5, 0, 0, 1)
        return envelope_model.seal(fields, base.to_bytes(8, "big") + EMPTY[8:])

    for log, text in [
        (one(1, 1) + one(1, 2), "offset 1"),
        (one(1, 1) + one(2, 1), "sequence 1"),
        (one(1, 1, kind=4), "kind 4"),
        (one(1, 1)[:-1], "incomplete"),
        (b"", "0 bytes"),
    ]:
        with pytest.raises(LogDamaged, match=text):
            _native.build_window(FIRST, [log], False)
    for log in (b"", one(1, 1)[:-1], one(1, 1) + b"\0" * 64):
        with pytest.raises(LogDamaged):
            _native.cut_log(FIRST, [log])
    bad = bytearray(one(1, 1))
    bad[-1] ^= 1
    _native.build_window(FIRST, [bytes(bad)], False)
    with pytest.raises(LogDamaged, match="checksum"):
        _native.build_window(FIRST, [bytes(bad)], True)


def test_only_read_only_buffers_are_taken() -> None:
    with pytest.raises(BufferError, match="read-only"):
        _native.cut_log(0, [bytearray(100)])  # type: ignore[list-item]
    pairs = _native.cut_log(0, [memoryview(envelope_model.seal(OUTER, EMPTY))])
    assert _native.check_log_value(memoryview(pairs[0][0]), pairs[0][1]) == 0


def test_damage_has_a_code_of_its_own() -> None:
    with pytest.raises(SprawlError) as refused:
        _native.window_header(b"")
    assert refused.value.code == "log_damaged"


EMPTY = _native.encode_batch([(None, None, None, 0)])
OUTER = envelope_model.Envelope(1, 1, 1, 0, 1, 5, 1, 0, 1)
