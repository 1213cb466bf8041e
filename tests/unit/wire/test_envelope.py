"""The log's envelope against its slow twin, and what it refuses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl import _native
from sprawl.errors import SprawlError
from tests.models import envelope as model

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
envelopes = st.builds(
    model.Envelope,
    kind=st.integers(1, 255),
    slot=st.integers(0, 4095),
    epoch=u32,
    partition=st.integers(0, 2**16 - 1),
    sequence=u64,
    topic_id=u64,
    append_ns=i64,
    expiry_ns=i64,
    records_count=u32,
)


def outcome(data: bytes) -> object:
    """What ``decode_envelopes`` gives, or the code with which it refuses."""
    try:
        return _native.decode_envelopes(data)
    except SprawlError as refused:
        return refused.code


@given(envelopes, st.binary(max_size=600))
def test_sealing_gives_the_bytes_of_the_twin(envelope: model.Envelope, batch: bytes) -> None:
    sealed = _native.encode_envelope(batch, **dataclasses.asdict(envelope))
    assert sealed == model.seal(envelope, batch)
    assert model.check(sealed) == (envelope, batch)


@given(st.lists(st.tuples(envelopes, st.binary(max_size=90)), max_size=4), st.data())
def test_whole_envelopes_are_read_and_a_cut_one_is_left(
    written: list[tuple[model.Envelope, bytes]], data: st.DataObject
) -> None:
    parts = [model.seal(envelope, batch) for envelope, batch in written]
    whole = parts[:-1]
    cut = parts[-1][: data.draw(st.integers(0, len(parts[-1]) - 1))] if parts else b""
    found, consumed = _native.decode_envelopes(b"".join([*whole, cut]))
    assert consumed == sum(map(len, whole))
    assert [(model.Envelope(*fields), batch) for *fields, batch in found] == written[:-1]


@given(envelopes, st.binary(max_size=90), st.data())
def test_a_flipped_bit_is_never_a_whole_envelope(
    envelope: model.Envelope, batch: bytes, data: st.DataObject
) -> None:
    bad = bytearray(model.seal(envelope, batch))
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    # A longer length only looks incomplete; everything else is refused.
    assert outcome(bytes(bad)) in ("invalid_batch", ([], 0))


@pytest.mark.parametrize(("name", "value"), [("kind", 0), ("slot", 4096)])
def test_a_kind_or_slot_that_is_none_is_not_written(name: str, value: int) -> None:
    fields = {"kind": 1, "slot": 0, "epoch": 0, "partition": 0, "sequence": 0, "topic_id": 0}
    fields |= {"append_ns": 0, "records_count": 1, name: value}
    with pytest.raises(SprawlError, match=name):
        _native.encode_envelope(b"", **fields)
