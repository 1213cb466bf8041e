"""A directory made out of a bucket: every state of its log, and what is refused."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from sprawl._native import SegmentManifest
from sprawl.clock import SystemClock
from sprawl.errors import ObjectDamaged, ObjectNotFound, StartError
from sprawl.limits import LOST_SEQUENCES, MANIFEST_PIECE_BYTES, SLOTS_COUNT
from sprawl.log.cloud import restore as module
from sprawl.log.cloud.bucket import Bucket
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.place import parse_place
from sprawl.log.cloud.restore import Restored
from sprawl.log.starts import Starts, ended_in_order
from sprawl.log.store import LogStore, counter_of
from sprawl.node.directory import open_directory
from sprawl.node.restore import restore_directory
from tests.models import ids, segment
from tests.models.bucket import CLUSTER, HISTORY, FolderBucket, copy_of, filled, topic_record

ORDERS, SIZES = 0x0123456789ABCDEF, 7


def restored(made: FolderBucket, path: Path, *, skips: bool = False) -> tuple[Restored, list[str]]:
    left_out: list[str] = []

    def fault(key: str, why: str) -> None:
        left_out.append(key)
        if not skips:
            raise ObjectDamaged(f"{key}: {why}")

    store = FolderStore(parse_place(made.endpoint, bucket=made.name, region=""))
    bucket = Bucket(store, CLUSTER, SystemClock())
    found = restore_directory(
        bucket, str(path), bind_port=7946, node_id="", version="1", clock=SystemClock(), fault=fault
    )
    return found, left_out


def states(path: Path) -> dict[bytes, bytes]:
    with LogStore(path, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        assert store.ends() == (0, 0)
        assert ended_in_order(store, Starts(2, 1, was_clean=True), 0)
        return dict(store.state_iter())


def named(found: dict[bytes, bytes], name: bytes) -> dict[bytes, bytes]:
    return {k[len(name) :]: v for k, v in found.items() if k.startswith(name)}


def number(name: bytes, value: bytes) -> int:
    return counter_of(name, value)


def test_the_directory_is_one_that_a_node_starts_on(tmp_path: Path) -> None:
    found, _ = restored(filled(tmp_path), tmp_path / "data")
    assert (found.segments, found.records, found.partitions, found.topics) == (3, 36, 2, 2)
    assert found.newest_ns == segment.APPEND_NS + 11 * (86_400_000_000_000 // 5)
    with open_directory(str(tmp_path / "data"), 7946, "", "1", lambda: "other") as directory:
        identity = directory.identity
        assert directory.path == tmp_path / "data" and directory.was_clean
        assert (identity.boot_counter, identity.log_start) == (2, 1)
        assert identity.cluster_id == CLUSTER
        assert identity.node_id != "other" and directory.warnings == ()


def test_all_states_are_those_of_the_bucket(tmp_path: Path) -> None:
    restored(filled(tmp_path), tmp_path / "data")
    found = states(tmp_path / "data")
    slots = {topic_id: ids.slot_of(name, 3) for topic_id, name in segment.TOPICS.items()}
    assert named(found, b"topic:") == {
        topic_id.to_bytes(8, "big"): topic_record(name) for topic_id, name in segment.TOPICS.items()
    }
    lows = {k: number(b"low:", v) for k, v in named(found, b"low:").items()}
    assert lows == {struct.pack(">QH", topic_id, 3): 10 for topic_id in slots}
    covered = {struct.pack(">H", s): 10 + (t == SIZES) for t, s in slots.items()}
    covers = {k: number(b"cover:", v) for k, v in named(found, b"cover:").items()}
    assert covers == covered
    sequences = {k: number(b"slot:", v) for k, v in named(found, b"slot:").items()}
    assert len(sequences) == SLOTS_COUNT
    assert all(v == covered.get(k, 0) + LOST_SEQUENCES for k, v in sequences.items())
    assert found[b"history"] == bytes.fromhex(HISTORY)
    assert found[b"damaged"] == struct.pack("<QQ", 1, 1)


def test_the_pieces_are_those_of_the_manifests(tmp_path: Path) -> None:
    made = filled(tmp_path)
    restored(made, tmp_path / "data")
    pieces = named(states(tmp_path / "data"), b"cold:")
    expected = {}
    for copy in made.top.glob("_sprawl/manifest/*/*"):
        manifest = SegmentManifest(copy.read_bytes())
        last = {slot: last for slot, _, _, last in manifest.covers}
        for slot, parts in manifest.slots(MANIFEST_PIECE_BYTES):
            for at, part in enumerate(parts):
                key = struct.pack(">HQHH", slot, last[slot], manifest.part[0], at)
                expected[key] = bytes(8) + part
    assert pieces == expected
    assert len(pieces) >= 4
    offsets = [
        r[3]
        for k, v in sorted(pieces.items())
        for r in SegmentManifest(v[8:]).partitions
        if r[0] == 7
    ]
    assert offsets == sorted(offsets)


def test_the_newest_configuration_counts(tmp_path: Path) -> None:
    made = FolderBucket(tmp_path)
    late, early = segment.window(start=6, step_ns=1_000_000_000), segment.window()
    made.move(late, {SIZES: topic_record("größe", ttl_s=60)})
    made.move(early, {SIZES: topic_record("größe", ttl_s=9), ORDERS: topic_record("orders.eu")})
    restored(made, tmp_path / "data")
    topics = named(states(tmp_path / "data"), b"topic:")
    assert topics[SIZES.to_bytes(8, "big")] == topic_record("größe", ttl_s=60)
    assert set(topics) == {SIZES.to_bytes(8, "big"), ORDERS.to_bytes(8, "big")}


def test_a_build_that_was_not_put_whole_counts_for_nothing(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (part,) = made.top.glob("_sprawl/manifest/*/*-0001")
    cover = part.name.partition("-")[0]
    next(made.top.glob(f"_sprawl/topics/*/{cover}")).unlink()
    found, _ = restored(made, tmp_path / "data")
    assert (found.segments, found.records, found.unfinished_builds) == (1, 18, 1)
    assert found.newest_ns == segment.APPEND_NS + 5
    assert covers_of(states(tmp_path / "data")) == {4, 5}


def test_a_segment_of_a_whole_build_may_be_gone(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (part,) = made.top.glob("_sprawl/manifest/*/*-0001")
    gone = SegmentManifest(part.read_bytes())
    part.unlink()
    (made.top / gone.key).unlink()
    found, _ = restored(made, tmp_path / "data")
    assert (found.segments, found.records) == (2, 36 - gone.records)
    assert found.unfinished_builds == 0
    assert covers_of(states(tmp_path / "data")) == {10, 11}


def covers_of(found: dict[bytes, bytes]) -> set[int]:
    return {number(b"cover:", cover) for cover in named(found, b"cover:").values()}


def test_many_states_are_put_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    restored(made, tmp_path / "whole")
    monkeypatch.setattr(module, "STATES_PUT_MAX", 2)
    restored(made, tmp_path / "parts")
    assert states(tmp_path / "whole") == states(tmp_path / "parts")


def spoil_manifest(made: FolderBucket, manifest: SegmentManifest) -> str:
    made.put(copy_of(manifest), b"nothing")
    return copy_of(manifest)


def drop_data(made: FolderBucket, manifest: SegmentManifest) -> str:
    (made.top / manifest.key).unlink()
    return manifest.key


def shorten_data(made: FolderBucket, manifest: SegmentManifest) -> str:
    made.put(manifest.key, made.read(manifest.key)[:-1])
    return manifest.key


@pytest.mark.parametrize("spoil", [spoil_manifest, drop_data, shorten_data])
def test_damage_is_refused_and_leaves_nothing_or_is_left_out(
    tmp_path: Path, spoil: Callable[[FolderBucket, SegmentManifest], str]
) -> None:
    made = filled(tmp_path)
    manifests = sorted(made.top.glob("_sprawl/manifest/*/*-0000"))
    key = spoil(made, SegmentManifest(manifests[0].read_bytes()))
    with pytest.raises(ObjectDamaged, match=key):
        restored(made, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    (tmp_path / "data").mkdir()
    with pytest.raises(ObjectDamaged, match=key):
        restored(made, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    found, left_out = restored(made, tmp_path / "data", skips=True)
    assert left_out == [key] and found.segments + found.unfinished_builds == 2


def test_a_directory_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    made, path = filled(tmp_path), tmp_path / "data"
    path.mkdir()
    (path / "mine").write_text("x")
    with pytest.raises(StartError, match=r"cannot use data directory .*/data: it is not empty"):
        restored(made, path)
    assert [entry.name for entry in path.iterdir()] == ["mine"]


def test_no_node_starts_on_a_restore_that_goes_on_or_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path, copy = filled(tmp_path), tmp_path / "data", tmp_path / "copy"
    topics = module._topics

    def and_a_node_starts(*arguments: object) -> object:
        with pytest.raises(StartError, match=f"is in use by process {os.getpid()}"):
            open_directory(str(path), 7946, "", "1", lambda: "n")
        shutil.copytree(path, copy)  # what a kill would leave here
        return topics(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_topics", and_a_node_starts)
    restored(made, path)
    assert sorted(entry.name for entry in path.iterdir()) == ["LOCK", "log", "node.json"]
    with open_directory(str(copy), 7946, "", "1", lambda: "n") as directory:
        is_new = directory.identity.log_start == 0
        with pytest.raises(StartError, match="it is missing or empty, but there was a log"):
            LogStore(directory.path, disk_bytes_max=0, is_new=is_new, clock=SystemClock())


def test_a_bucket_that_does_not_say_whose_it_is_is_refused(tmp_path: Path) -> None:
    made = filled(tmp_path)
    history = json.loads(made.read("_sprawl/history"))
    made.put("_sprawl/history", json.dumps(history | {"cluster_id": "another"}).encode())
    with pytest.raises(ObjectDamaged, match="is of cluster another"):
        restored(made, tmp_path / "data")
    (made.top / "_sprawl/history").unlink()
    with pytest.raises(ObjectNotFound):
        restored(made, tmp_path / "data")
    assert not (tmp_path / "data").exists()
