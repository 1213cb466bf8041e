"""The cloud tier's work in the worker process: builds the segments of a window, puts and checks them.

In: requests ``segments.*`` of ``host.py``, and ``objects.*`` for ``work.py``. Out: their answers. Invariants: the objects of the last
build are kept here until the next one, so that their bytes cross to the node's process never; a
request for an object that is not kept is ObjectNotFound, as after a new start of the worker.
"""

import hashlib
import threading
from collections.abc import Mapping
from typing import Final

import msgspec

from sprawl._native import SegmentManifest, build_segments
from sprawl.clock import SystemClock
from sprawl.errors import ObjectNotFound
from sprawl.log.cloud.layout import manifest_key, topics_key
from sprawl.log.cloud.objects import Deadline
from sprawl.log.cloud.work import ObjectWork
from sprawl.worker.work import Answer, Call, Handler

Topics = list[tuple[int, str | None, list[tuple[int, int]]]]
"""Id, name (None: gone for good), lifetimes as (from which append time on in ns, seconds)."""


def handlers() -> Mapping[str, Handler]:
    """All that the worker does for the cloud tier."""
    objects = ObjectWork()
    return {**objects.handlers(), **SegmentWork(objects).handlers()}


class SegmentWork:
    """The last build."""

    def __init__(self, objects: ObjectWork) -> None:
        self._objects: Final = objects
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._kept: Mapping[str, bytes] = {}

    def handlers(self) -> Mapping[str, Handler]:
        """What each name does."""
        return {
            "segments.build": self.build,
            "segments.put": self.put,
            "segments.check": self.check,
        }

    def build(self, call: Call) -> Answer:
        """``topics_bytes``, ``states_bytes``; the body: topics as JSON, their states, the window.

        The answer: ``covers``, ``objects`` (key, bytes, SHA-256 in hex) in the order in which they
        are to be put, ``manifests`` (bytes of each); the body: the manifests.
        """
        body = memoryview(call.body).toreadonly()
        topics_end = msgspec.convert(call.members["topics_bytes"], int)
        states_end = topics_end + msgspec.convert(call.members["states_bytes"], int)
        topics = msgspec.json.decode(body[:topics_end], type=Topics)
        covers, built = build_segments([body[states_end:]], topics)
        kept: dict[str, bytes] = {}
        manifests = [data for data, _ in built]
        for manifest, data in built:
            key = SegmentManifest(manifest).key
            kept[key] = data
            kept[manifest_key(key)] = manifest
        if kept:
            # The last of all: whoever reads the bucket alone sees by it that the build is whole.
            kept[topics_key(next(iter(kept)))] = bytes(body[topics_end:states_end])
        with self._lock:
            self._kept = kept
        members = {
            "covers": covers,
            "objects": [
                (key, len(data), hashlib.sha256(data).hexdigest()) for key, data in kept.items()
            ],
            "manifests": [len(data) for data in manifests],
        }
        return Answer(members, b"".join(manifests))

    def put(self, call: Call) -> Answer:
        """``prefix``, ``key``: stores an object of the build."""
        prefix, key, data = self._object(call)
        self._objects.store.put(prefix + key, data, Deadline(self._clock, call.left_s))
        return Answer()

    def check(self, call: Call) -> Answer:
        """``prefix``, ``key``; the answer says whether what is there ``is_equal``."""
        prefix, key, data = self._object(call)
        try:
            stored = self._objects.store.get(prefix + key, Deadline(self._clock, call.left_s))
        except ObjectNotFound:
            return Answer({"is_equal": False})
        is_equal = len(stored) == len(data) and (
            hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()
        )
        return Answer({"is_equal": is_equal})

    def _object(self, call: Call) -> tuple[str, str, bytes]:
        key = msgspec.convert(call.members["key"], str)
        with self._lock:
            data = self._kept.get(key)
        if data is None:
            raise ObjectNotFound(f"{key} is of no build that the worker has")
        return msgspec.convert(call.members["prefix"], str), key, data
