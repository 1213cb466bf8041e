"""A bucket with one thing wrong at a time, and what is said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import StoreRefused
from sprawl.log.cloud import verify as module
from sprawl.log.cloud.bucket import Bucket, choose_cluster, clusters
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.place import parse_place
from sprawl.log.cloud.verify import Verified, verify
from tests.models import ids, segment
from tests.models.bucket import (
    CLUSTER,
    HISTORY,
    FolderBucket,
    copy_of,
    filled,
    topic_record,
    topics_copy,
)

FIRST, OTHER = "0" * 32, "f" * 32


def store_of(made: FolderBucket) -> FolderStore:
    return FolderStore(parse_place(made.endpoint, bucket=made.name, region=""))


def verified(made: FolderBucket) -> tuple[Verified, list[tuple[str, str]]]:
    faults: list[tuple[str, str]] = []
    bucket = Bucket(store_of(made), CLUSTER, SystemClock())
    found = verify(bucket, lambda key, why: faults.append((key, why)))
    assert found.faults == len(faults)
    return found, faults


def test_a_sound_bucket_has_no_faults_and_true_counts(tmp_path: Path) -> None:
    made = filled(tmp_path)
    found, faults = verified(made)
    assert faults == []
    assert (found.manifests, found.builds, found.partitions, found.topics) == (3, 2, 2, 2)
    assert (found.records, found.history) == (36, HISTORY)
    files = [path for path in made.top.glob("data/*/*") if path.is_file()]
    assert found.bytes == sum(path.stat().st_size for path in files)
    assert found.oldest_ns == segment.APPEND_NS
    assert found.newest_ns == segment.APPEND_NS + 11 * (86_400_000_000_000 // 5)
    assert found.unnamed_objects == 0


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


RENAMED = f"_sprawl/manifest/day=2023-11-14/{'0' * 32}-0000"
Damage = Callable[[FolderBucket, Path, Path], None]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _, data, __: data.unlink(), "named by a manifest and not there"),
        (lambda _, data, __: flip(data, 100), "bytes 4 to "),
        (lambda _, data, __: flip(data, -20), "do not hold their checksum"),
        (lambda _, data, __: flip(data, 0), "its SHA-256 is not the one"),
        (
            lambda _, data, __: data.write_bytes(data.read_bytes()[:-1]),
            " bytes, its manifest says ",
        ),
        (
            lambda _, data, __: data.write_bytes(data.read_bytes() + b"x"),
            " bytes, its manifest says ",
        ),
        (lambda _, __, copy: flip(copy, 30), "does not hold in"),
        (lambda _, __, copy: copy.write_bytes(b""), "ends early"),
        (lambda _, __, copy: copy.rename(copy.with_name(Path(RENAMED).name)), "it describes data/"),
        (lambda made, *_: (made.top / "_sprawl/history").unlink(), "no object "),
        (lambda made, *_: made.put("_sprawl/history", b"{}"), "cannot be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Damage, said: str) -> None:
    made = FolderBucket(tmp_path)
    (manifest,) = made.move(segment.window(copies=300))
    damage(made, made.top / manifest.key, made.top / copy_of(manifest))
    _, faults = verified(made)
    assert any(said in why for _, why in faults), faults
    assert {key for key, _ in faults} <= {
        manifest.key,
        copy_of(manifest),
        "_sprawl/history",
        RENAMED,
    }


def test_pieces_of_any_size_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = FolderBucket(tmp_path)
    (manifest,) = made.move(segment.window(copies=300))
    flip(made.top / manifest.key, 100)
    _, whole = verified(made)
    for size in (1_000, manifest.size, manifest.checksums[0][1]):
        monkeypatch.setattr("sprawl.log.cloud.bucket.BUCKET_PIECE_BYTES", size)
        assert verified(made)[1] == whole


def test_a_build_that_was_not_put_whole_is_counted(tmp_path: Path) -> None:
    made = filled(tmp_path)
    for path in (*made.top.glob("_sprawl/*/*/*"), *made.top.glob("data/*/*")):
        if path.parent.parent.name == "topics" or "-0001" in path.name:
            path.unlink()
    found, faults = verified(made)
    assert faults == []
    assert (found.unfinished_builds, found.unnamed_objects, found.removed_segments) == (2, 0, 0)


def test_a_segment_of_a_whole_build_may_be_gone_with_its_manifest(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (part,) = made.top.glob("_sprawl/manifest/*/*-0001")
    (data,) = made.top.glob("data/*/*-0001.parquet")
    part.unlink()
    _, faults = verified(made)
    key = data.relative_to(made.top).as_posix()
    assert faults == [(key, "its build is whole, and it has no manifest")]
    data.unlink()
    found, faults = verified(made)
    assert faults == []
    assert (found.removed_segments, found.unfinished_builds) == (1, 0)


def test_objects_of_a_move_that_goes_on_are_counted(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.put(f"data/day=2026-01-01/{'a' * 32}-0000.parquet", b"half")
    made.put("data/readme.txt", b"not ours")
    found, faults = verified(made)
    assert (found.unnamed_objects, faults) == (2, [])


def test_offsets_that_are_there_twice_are_named(tmp_path: Path) -> None:
    made = filled(tmp_path)
    # The same offsets in another build: its slots went on, its partitions did not.
    made.move(segment.window(count=8))
    _, faults = verified(made)
    assert {why.split(" of partition ")[0] for _, why in faults} == {"offset 10", "offset 19"}
    assert all(" is in _sprawl/manifest/" in why for _, why in faults)


def test_a_topic_without_a_configuration_is_named(tmp_path: Path) -> None:
    made = FolderBucket(tmp_path)
    made.move(segment.window(), {7: topic_record("größe")})
    _, faults = verified(made)
    said = "no copy of topic configurations has topic id "
    assert [why for _, why in faults] == [said + ids.topic_id_text(0x0123456789ABCDEF)]


@pytest.mark.parametrize("cut", [1, 3, -1])
def test_a_copy_of_configurations_that_is_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    made = FolderBucket(tmp_path)
    made.put(
        "_sprawl/topics/day=2026-01-01/" + "a" * 32, topics_copy({7: topic_record("größe")})[:cut]
    )
    _, faults = verified(made)
    assert [" end inside of one at byte 0" in why for _, why in faults] == [True]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.put("_sprawl/manifest/readme.txt", b"not ours")
    assert verified(made)[1] == []


def test_a_manifest_too_large_to_be_one_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(tmp_path)
    monkeypatch.setattr(module, "MANIFEST_BYTES_MAX", 100)
    _, faults = verified(made)
    assert {why.partition(" bytes ")[2] for _, why in faults} >= {"exceed 100"}


def test_clusters_of_a_bucket_are_told_apart(tmp_path: Path) -> None:
    made, clock = filled(tmp_path), SystemClock()
    store = store_of(made)
    assert list(clusters(store, clock)) == [CLUSTER]
    assert choose_cluster(store, clock, "", "s3://x") == CLUSTER
    FolderBucket(tmp_path, cluster_id=OTHER)
    FolderBucket(tmp_path, cluster_id="not-ours")
    FolderBucket(tmp_path, cluster_id=FIRST)
    assert list(clusters(store, clock)) == [FIRST, CLUSTER, OTHER]
    assert choose_cluster(store, clock, CLUSTER, "s3://x") == CLUSTER
    with pytest.raises(StoreRefused, match=r"has 3 clusters, name one of them: 0+, 7c0ffee0+, f+$"):
        choose_cluster(store, clock, "", "s3://x")
    with pytest.raises(StoreRefused, match=r"s3://x has no cluster nobody; it has 0+, 7c0ffee"):
        choose_cluster(store, clock, "nobody", "s3://x")
    empty = FolderStore(parse_place(made.endpoint, bucket="empty", region=""))
    with pytest.raises(StoreRefused, match="nothing lies below sprawl/"):
        choose_cluster(empty, clock, "", "s3://x")
    assert not (tmp_path / "empty").exists()
