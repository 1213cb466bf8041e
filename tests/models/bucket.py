"""A bucket as nodes leave it, made of windows of ``tests.models.segment``."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

from sprawl._native import SegmentManifest, build_segments, snapshot_pack
from tests.models import segment

CLUSTER = "7c0ffee0000000000000000000000000"
HISTORY = "00112233445566778899aabbccddeeff"
DAY_NS = 86_400 * 1_000_000_000


def topic_record(name: str, ttl_s: int = 0, deleted_ns: int = 0) -> bytes:
    """A topic's record in ``$sys.topics`` as docs/design/disk.md has it, all else at its default."""
    counts = struct.pack("<II", 1, 1)
    return (
        b"\1\0\0\0"
        + counts
        + struct.pack("<6Qqq", ttl_s, 0, 0, 0, 600, 0, 5, deleted_ns)
        + name.encode()
    )


def topics_copy(records: dict[int, bytes]) -> bytes:
    """A copy of topic configurations."""
    values = snapshot_pack([(key.to_bytes(8, "big"), record) for key, record in records.items()])
    return b"".join(len(value).to_bytes(4, "little") + bytes(value) for value in values)


class FolderBucket:
    """``<root>/<name>`` with what one cluster left in it; keys are below the cluster's prefix."""

    def __init__(self, root: Path, name: str = "messages", cluster_id: str = CLUSTER) -> None:
        self.url = f"file://{root}/{name}"
        self.endpoint = f"file://{root}"
        self.name = name
        self.top = root / name / "sprawl" / cluster_id
        history = {"version": 1, "cluster_id": cluster_id, "history": HISTORY}
        self.put("_sprawl/history", json.dumps(history).encode())

    def put(self, key: str, data: bytes) -> None:
        """Writes an object."""
        path = self.top / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def read(self, key: str) -> bytes:
        """An object."""
        return (self.top / key).read_bytes()

    def move(self, window: bytes, names: dict[int, bytes] | None = None) -> list[SegmentManifest]:
        """Puts what a move of a window puts; the manifests of its segments."""
        _, segments = build_segments([window], segment.topics())
        manifests = [SegmentManifest(described) for described, _ in segments]
        for manifest, (described, data) in zip(manifests, segments, strict=True):
            self.put(manifest.key, data)
            self.put(copy_of(manifest), described)
        records = names or {key: topic_record(name) for key, name in segment.TOPICS.items()}
        day_and_cover = manifests[0].key.removeprefix("data/").rpartition("-")[0]
        self.put(f"_sprawl/topics/{day_and_cover}", topics_copy(records))
        return manifests


def copy_of(manifest: SegmentManifest) -> str:
    """Key of the copy of a manifest."""
    return manifest.key.replace("data/", "_sprawl/manifest/").removesuffix(".parquet")


def filled(root: Path, windows: Sequence[bytes] = ()) -> FolderBucket:
    """A bucket with two moves; the second made two segments, on two days."""
    bucket = FolderBucket(root)
    for window in windows or (segment.window(), segment.window(start=6, step_ns=DAY_NS // 5)):
        bucket.move(window)
    return bucket
