"""The worker's part of a move: what is built, in which order it is put, and what is compared."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from sprawl._native import SegmentManifest, snapshot_pack
from sprawl.errors import ObjectNotFound
from sprawl.log.cloud.building import handlers
from sprawl.log.cloud.layout import manifest_key, pack_values, topics_key
from sprawl.log.cloud.place import StorePlace, parse_place
from sprawl.worker.work import Answer, Call, Handler
from tests.models import segment
from tests.models.bucket import DAY_NS, topic_record

PREFIX = "sprawl/7c0ffee/"


class Work:
    """The handlers over a folder."""

    def __init__(self, folder: Path) -> None:
        place = parse_place(f"file://{folder}", bucket="messages", region="")
        self.top = folder / "messages" / PREFIX
        self._handlers: dict[str, Handler] = dict(handlers())
        members = {"place": {name: getattr(place, name) for name in StorePlace.__slots__}}
        self.call("objects.open", members | {"upload_bytes_per_s": 0})

    def call(self, name: str, members: dict[str, object], body: bytes = b"") -> Answer:
        return self._handlers[name](Call(members, body, lambda: 20.0))

    def build(self, window: bytes) -> Answer:
        topics = msgspec.json.encode(segment.topics())
        records = [(key.to_bytes(8, "big"), topic_record(n)) for key, n in segment.TOPICS.items()]
        states = pack_values(bytes(value) for value in snapshot_pack(records))
        members = {"topics_bytes": len(topics), "states_bytes": len(states)}
        return self.call("segments.build", members, topics + states + window)


def test_the_topics_of_a_build_are_put_last(tmp_path: Path) -> None:
    work = Work(tmp_path)
    answer = work.build(segment.window(step_ns=DAY_NS // 5))
    lengths = answer.members["manifests"]
    assert isinstance(lengths, list) and len(lengths) == 2
    body = bytes(answer.body)
    keys = [SegmentManifest(body[: lengths[0]]).key, SegmentManifest(body[lengths[0] :]).key]
    objects = answer.members["objects"]
    assert isinstance(objects, list)
    put = [k for key in keys for k in (key, manifest_key(key))]
    assert [key for key, _, _ in objects] == [*put, topics_key(keys[0])]
    for key, size, digest in objects:
        work.call("segments.put", {"prefix": PREFIX, "key": key})
        data = (work.top / key).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest)


def test_what_is_there_is_compared(tmp_path: Path) -> None:
    work = Work(tmp_path)
    answer = work.build(segment.window())
    objects = answer.members["objects"]
    assert isinstance(objects, list)
    key = objects[0][0]
    asked: dict[str, object] = {"prefix": PREFIX, "key": key}
    assert work.call("segments.check", asked).members == {"is_equal": False}
    work.call("segments.put", asked)
    assert work.call("segments.check", asked).members == {"is_equal": True}
    path = work.top / key
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert work.call("segments.check", asked).members == {"is_equal": False}


def test_a_window_without_records_has_no_objects(tmp_path: Path) -> None:
    answer = Work(tmp_path).build(b"")
    assert answer.members == {"covers": [], "objects": [], "manifests": []}


def test_what_no_build_has_is_not_found(tmp_path: Path) -> None:
    work = Work(tmp_path)
    with pytest.raises(ObjectNotFound, match="is of no build that the worker has"):
        work.call("segments.put", {"prefix": PREFIX, "key": "data/x"})
