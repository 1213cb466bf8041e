"""The cloud tier's part of the worker process: object calls, on its threads.

In: requests ``objects.*`` of ``remote.py``. Out: their answers. Invariants: one store is open at a
time; before ``objects.open``, and so after a new start, the others are refused as Closed; the keys of the account come with it
over the socket, so they are on no command line and in no file.
"""

import random
import secrets
import threading
from collections.abc import Mapping

import msgspec

from sprawl.clock import SystemClock
from sprawl.errors import Closed
from sprawl.log.cloud.folder import FolderStore
from sprawl.log.cloud.objects import Deadline, ObjectInfo, Store, Upload
from sprawl.log.cloud.place import StorePlace
from sprawl.worker.work import Answer, Call, Handler


def open_store(place: StorePlace, upload_bytes_per_s: int = 0) -> Store:
    """The store at a place; nothing is contacted. minio is imported for S3 alone."""
    if place.folder:
        return FolderStore(place)
    from sprawl.log.cloud.s3 import S3Store

    rng = random.Random(secrets.randbits(64))  # noqa: S311 # jitter
    return S3Store(place, clock=SystemClock(), rng=rng, upload_bytes_per_s=upload_bytes_per_s)


class ObjectWork:
    """The store that was opened last, and calls to it."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._opened: tuple[StorePlace, int] | None = None
        self._store: Store | None = None

    def handlers(self) -> Mapping[str, Handler]:
        """What each name does."""
        return {
            "objects.open": self.open,
            "objects.put": self.put,
            "objects.get": self.get,
            "objects.head": self.head,
            "objects.page": self.page,
            "objects.delete": self.delete,
            "objects.uploads": self.uploads,
            "objects.abort": self.abort,
        }

    def open(self, call: Call) -> Answer:
        """Opens a store (once for the same place) and prepares its bucket."""
        place = msgspec.convert(call.members["place"], StorePlace)
        upload_bytes_per_s = msgspec.convert(call.members["upload_bytes_per_s"], int)
        with self._lock:
            if self._opened != (place, upload_bytes_per_s):
                # One that is left may still be in use by another thread: it closes with its last.
                self._store = open_store(place, upload_bytes_per_s)
                self._opened = (place, upload_bytes_per_s)
        self.store.prepare(self._deadline(call))
        return Answer()

    @property
    def store(self) -> Store:
        """The open store; Closed before there is one, as after a new start."""
        store = self._store
        if store is None:
            raise Closed("no object store is open in the worker")
        return store

    def put(self, call: Call) -> Answer:
        """``key``, ``create_only`` and the body."""
        create_only = call.members["create_only"] is True
        deadline = self._deadline(call)
        return _info(self.store.put(_key(call), call.body, deadline, create_only=create_only))

    def get(self, call: Call) -> Answer:
        """``key``, ``start``, ``length``; the bytes are the body."""
        start = msgspec.convert(call.members["start"], int)
        length = msgspec.convert(call.members["length"], int | None)
        data = self.store.get(_key(call), self._deadline(call), start=start, length=length)
        return Answer(body=data)

    def head(self, call: Call) -> Answer:
        """``key``."""
        return _info(self.store.head(_key(call), self._deadline(call)))

    def page(self, call: Call) -> Answer:
        """``prefix``, ``after``, ``limit``."""
        found = self.store.page(
            msgspec.convert(call.members["prefix"], str),
            self._deadline(call),
            after=msgspec.convert(call.members["after"], str),
            limit=msgspec.convert(call.members["limit"], int),
        )
        return Answer({"objects": [msgspec.to_builtins(info) for info in found]})

    def delete(self, call: Call) -> Answer:
        """``key``."""
        self.store.delete(_key(call), self._deadline(call))
        return Answer()

    def uploads(self, call: Call) -> Answer:
        """``prefix``."""
        prefix = msgspec.convert(call.members["prefix"], str)
        found = self.store.uploads(prefix, self._deadline(call))
        return Answer({"uploads": [msgspec.to_builtins(upload) for upload in found]})

    def abort(self, call: Call) -> Answer:
        """An upload."""
        upload = msgspec.convert(call.members["upload"], Upload)
        self.store.abort(upload, self._deadline(call))
        return Answer()

    def _deadline(self, call: Call) -> Deadline:
        return Deadline(self._clock, call.left_s)


def _key(call: Call) -> str:
    return msgspec.convert(call.members["key"], str)


def _info(info: ObjectInfo) -> Answer:
    return Answer(msgspec.to_builtins(info))
