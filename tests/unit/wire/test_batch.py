"""The batch codec against its slow twin, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprawl import _native, limits
from sprawl.errors import SprawlError
from tests.models import batch as model

RESERVED = {bytes([name]) for name in range(1, 0x20)}
header_names = st.text(min_size=1, max_size=12).map(str.encode).filter(lambda n: n not in RESERVED)
ascii_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)
records = st.builds(
    model.Record,
    timestamp_ms=st.integers(-1, 2**53),
    key=st.none() | st.binary(max_size=90),
    value=st.none() | st.binary(max_size=300),
    headers=st.lists(st.tuples(header_names, st.binary(max_size=90)), max_size=5),
    ttl_s=st.none() | st.integers(0, limits.TTL_S_MAX),
    idempotency_key=st.none() | st.text(min_size=1, max_size=60),
    content_type=st.none() | ascii_text | st.sampled_from(model.CONTENT_TYPES),
)
batches = st.lists(records, min_size=1, max_size=12)
Given = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes]] | None, int]


def plain(record: model.Record) -> Given:
    """What ``encode_batch`` takes for a record."""
    return record.key, record.value, record.stored_headers() or None, record.timestamp_ms


def flat(decoded: list[tuple[int, model.Record]]) -> list[tuple[object, ...]]:
    """What ``decode_batches`` gives for the twin's records."""
    return [
        (n, r.timestamp_ms, r.key, r.value, r.headers, r.ttl_s, r.idempotency_key, r.content_type)
        for n, r in decoded
    ]


def code_of(data: bytes) -> str:
    """The code with which both the verifier and the decoder refuse ``data``."""
    with pytest.raises(SprawlError) as verified:
        _native.verify_batches(data)
    with pytest.raises(SprawlError) as decoded:
        _native.decode_batches(data)
    assert verified.value.code == decoded.value.code
    return verified.value.code


@given(batches)
def test_encoding_gives_the_bytes_of_the_twin(given_records: list[model.Record]) -> None:
    data = _native.encode_batch([plain(record) for record in given_records], 0, (5, 6, 7))
    assert data == model.encode(given_records, producer=(5, 6, 7))


@given(batches, batches, st.integers(0, 2**62), st.sampled_from([0, 1]))
def test_decoding_reads_what_the_twin_wrote(
    first: list[model.Record], second: list[model.Record], base: int, codec: int
) -> None:
    data = model.encode(first, base, codec=codec) + model.encode(second, 3)
    assert _native.decode_batches(data) == flat(model.decode(data))
    ttls = [record.ttl_s for record in second if record.ttl_s]
    found = _native.verify_batches(data)
    assert sum(length for length, *_ in found) == len(data)
    assert found[1][1:] == (len(second), min(ttls, default=None), False)


@pytest.mark.parametrize("codec", range(5))
@given(batches)
def test_every_codec_reads_back(codec: int, given_records: list[model.Record]) -> None:
    data = _native.encode_batch([plain(record) for record in given_records], codec)
    assert _native.decode_batches(data) == flat(list(enumerate(given_records)))


@given(batches, st.data())
def test_a_flipped_bit_never_verifies(
    given_records: list[model.Record], data: st.DataObject
) -> None:
    good = model.encode(given_records)
    # Base offset and leader epoch lie outside the checksum by design.
    at = data.draw(st.integers(16, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= 1 << data.draw(st.integers(0, 7))
    assert code_of(bytes(bad)) in {"bad_checksum", "invalid_batch", "unsupported_media_type"}


@given(batches, st.data())
def test_a_cut_batch_is_refused(given_records: list[model.Record], data: st.DataObject) -> None:
    good = model.encode(given_records)
    assert code_of(good[: data.draw(st.integers(1, len(good) - 1))]) == "invalid_batch"


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    if data:
        assert code_of(data) in {"invalid_batch", "too_large"}


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(SprawlError, match="codec 5") as refused:
        _native.encode_batch([(None, b"x", None, 0)], 5)
    assert refused.value.code == "unsupported_media_type"


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(SprawlError, match="0 records"):
        _native.encode_batch([])


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ((b"k" * (limits.KEY_BYTES_MAX + 1), b"", None, 0), "too_large"),
        ((None, b"v" * (limits.PAYLOAD_BYTES_MAX + 1), None, 0), "too_large"),
        ((None, b"", [(b"\x01", b"abc")], 0), "invalid_batch"),
        ((None, b"", [(b"\x04", b"abc")], 0), "invalid_batch"),
        ((None, b"", [(b"\xff", b"abc")], 0), "invalid_batch"),
        ((None, b"", [(b"n", b"")] * (limits.RECORD_HEADERS_COUNT_MAX + 1), 0), "too_large"),
        ((None, b"", [(b"n", b"v" * limits.RECORD_HEADERS_BYTES_MAX)], 0), "too_large"),
    ],
)
def test_a_record_outside_its_bounds_is_refused(record: Given, code: str) -> None:
    with pytest.raises(SprawlError) as refused:
        _native.encode_batch([record])
    assert refused.value.code == code


@pytest.mark.parametrize("record", [(None, b""), (None, "text", None, 0), [None, b"", None, 0]])
def test_a_record_of_another_shape_is_a_type_error(record: object) -> None:
    with pytest.raises(TypeError):
        _native.encode_batch([record])  # type: ignore[list-item]
