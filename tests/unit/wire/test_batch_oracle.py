"""RecordBatch v2 belongs to Kafka: aiokafka's codec, with its own compressors, is the oracle."""

import pytest
from aiokafka.record.default_records import (  # type: ignore[import-untyped]
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
    _DefaultRecordBatchBuilderPy,
    _DefaultRecordBatchPy,
)
from hypothesis import given
from hypothesis import strategies as st

from sprawl import _native

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
Given = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes]] | None, int]

names = st.text(st.characters(min_codepoint=0x20, codec="utf-8"), min_size=1, max_size=9)
headers = st.lists(st.tuples(names.map(str.encode), st.binary(max_size=90)), max_size=4)
# Words repeat, so that every codec has something to do.
values = st.binary(max_size=300) | st.lists(st.sampled_from([b"alpha ", b"beta "])).map(b"".join)
records = st.tuples(
    st.none() | st.binary(max_size=90), st.none() | values, headers, st.integers(0, 2**53)
)
batches = st.lists(records, min_size=1, max_size=30)
numbers = st.none() | st.tuples(
    st.integers(0, 2**63 - 1), st.integers(0, 2**15 - 1), st.integers(0, 2**31 - 1)
)


def written(
    kind: type[DefaultRecordBatchBuilder],
    given_records: list[Given],
    codec: int,
    producer: tuple[int, int, int],
) -> bytes:
    """The batch that aiokafka writes."""
    builder = kind(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        batch_size=1 << 24,
    )
    for index, (key, value, own, timestamp_ms) in enumerate(given_records):
        pairs = [(name.decode(), data) for name, data in own or []]
        assert builder.append(index, timestamp_ms, key, value, pairs) is not None
    return bytes(builder.build())


def read(kind: type[DefaultRecordBatch], data: bytes) -> list[tuple[object, ...]]:
    """What aiokafka reads from a batch whose checksum it has verified."""
    batch = kind(data)
    assert batch.validate_crc()
    return [
        (r.offset, r.timestamp, r.key, r.value, [(n.encode(), v) for n, v in r.headers])
        for r in batch
    ]


def expected(given_records: list[Given]) -> list[tuple[object, ...]]:
    """The same records in that shape."""
    return [(n, ms, key, value, own or []) for n, (key, value, own, ms) in enumerate(given_records)]


@pytest.mark.parametrize("kind", [DefaultRecordBatchBuilder, _DefaultRecordBatchBuilderPy])
@pytest.mark.parametrize("codec", CODECS, ids=CODECS.get)
@given(given_records=batches, producer=numbers)
def test_we_read_what_the_oracle_writes(
    kind: type[DefaultRecordBatchBuilder],
    codec: int,
    given_records: list[Given],
    producer: tuple[int, int, int] | None,
) -> None:
    data = written(kind, given_records, codec, producer or (-1, -1, -1))
    found = _native.decode_batches(data)
    assert [record[:5] for record in found] == expected(given_records)
    assert [record[5:] for record in found] == [(None, None, None)] * len(found)
    assert _native.verify_batches(data)[0][:2] == (len(data), len(given_records))


@pytest.mark.parametrize("kind", [DefaultRecordBatch, _DefaultRecordBatchPy])
@pytest.mark.parametrize("codec", CODECS, ids=CODECS.get)
@given(given_records=batches, producer=numbers)
def test_the_oracle_reads_what_we_write(
    kind: type[DefaultRecordBatch],
    codec: int,
    given_records: list[Given],
    producer: tuple[int, int, int] | None,
) -> None:
    data = _native.encode_batch(given_records, codec, producer)
    assert read(kind, data) == expected(given_records)
    batch = kind(data)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (
        producer or (-1, -1, -1)
    )
    assert batch.first_timestamp == given_records[0][3]
    assert batch.max_timestamp == max(record[3] for record in given_records)
    assert batch.last_offset_delta == len(given_records) - 1


@pytest.mark.parametrize("codec", [1, 2, 3, 4], ids=CODECS.get)
def test_the_oracle_reads_a_large_compressed_batch(codec: int) -> None:
    # Several xerial blocks, lz4 blocks and zstd blocks; words of varying order keep the ratio sane.
    given_records: list[Given] = [
        (None, b" ".join(b"%d" % (n * k % 9973) for k in range(40)), None, n) for n in range(5000)
    ]
    data = _native.encode_batch(given_records, codec)
    assert data[22] == codec
    assert read(DefaultRecordBatch, data) == expected(given_records)
    assert _native.decode_batches(
        written(DefaultRecordBatchBuilder, given_records, codec, (-1,) * 3)
    )[4999][:4] == (4999, 4999, None, given_records[-1][1])
