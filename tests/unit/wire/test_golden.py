"""The fixed formats: what is written today is what the golden files say, byte for byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from sprawl import _native
from tests.golden import make

GOLDEN = Path(make.__file__).resolve().parent


def load(name: str) -> Any:
    """A golden file as it stands."""
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", make.DOCUMENTS)
def test_the_twins_still_write_the_golden_file(name: str) -> None:
    assert make.text_of(make.DOCUMENTS[name]()) == (GOLDEN / name).read_text(encoding="utf-8")


def test_slots_keys_and_ids_are_fixed() -> None:
    golden = load("ids.json")
    assert [[n, p, _native.slot_of(n, p)] for n, p, _ in golden["slots"]] == golden["slots"]
    for key, partitions, partition in golden["keys"]:
        assert _native.partition_of_key(bytes.fromhex(key), partitions) == partition
    for number, text in golden["topic_ids"]:
        assert _native.topic_id_text(int(number)) == text
    for cursor in golden["cursors"]:
        entries = [(int(topic), *rest, int(next_)) for topic, *rest, next_ in cursor["entries"]]
        assert _native.cursor_encode(entries) == cursor["text"]
        assert _native.cursor_decode(cursor["text"]) == entries


@pytest.mark.parametrize("name", make.BATCHES)
def test_batches_and_envelopes_are_fixed(name: str) -> None:
    golden = load("log.json")[name]
    sealed, batch = bytes.fromhex(golden["sealed"]), bytes.fromhex(golden["batch"])
    assert _native.encode_envelope(batch, **golden["envelope"]) == sealed
    fields = tuple(golden["envelope"].values())
    assert _native.decode_envelopes(sealed) == ([(*fields, batch)], len(sealed))
    records = [
        (record.key, record.value, record.stored_headers(), record.timestamp_ms)
        for record in make.BATCHES[name]
    ]
    written = _native.encode_batch(records, 0, (1 << 62, 3, 9))
    # The leader's stamp (base offset, epoch) is all that differs.
    assert written[8:12] + written[16:] == batch[8:12] + batch[16:]


def test_values_of_the_disk_tier_are_fixed() -> None:
    golden = load("disk.json")
    source = golden["source"]
    log = bytes.fromhex(source["before"]) + b"x" * source["x"] + bytes.fromhex(source["after"])
    pieces = _native.cut_log(source["first_lsn"], [log])
    values = [(key, bytes(memoryview(value))) for key, value in pieces]  # type: ignore[arg-type]
    assert [[key.hex(), value[:16].hex(), len(value)] for key, value in values] == golden["log"]
    assert b"".join(value[16:] for _, value in values) == log
    _, pairs = _native.build_window(source["first_lsn"], [log], verify=True)
    block = [[key.hex(), memoryview(value).hex()] for key, value in pairs]  # type: ignore[arg-type]
    assert block == golden["index"]
    for key, value in pairs:
        _native.check_index_value(key, value)
    scan = _native.LogScan(source["first_lsn"])
    events = [event for key, value in values for event in scan.feed(key, value)] + scan.finish()
    assert {what for what, *_ in events} == {"whole"}
    assert events[-1][2] == source["first_lsn"] + len(log)
