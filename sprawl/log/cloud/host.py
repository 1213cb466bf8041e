"""The cloud tier of a running node: performs what the mover plans.

In: sealed windows that memory has let go of, requests to move, a worker process. Out: segments in
the bucket, records of ``$sys.manifest`` in the log, windows that are gone from the disk. Invariants:
one step at a time, each reported to the mover; a window's local bytes go after its objects were read
back and its records are durable; nothing here blocks the loop; a store that cannot be reached stops
no publish and no start. Source: docs/design/cloud.md.
"""

import asyncio
import logging
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import orjson

from sprawl._native import SegmentManifest, last_entries, snapshot_pack
from sprawl.clock import SECOND_NS
from sprawl.errors import (
    LogDamaged,
    ObjectExists,
    ObjectNotFound,
    SprawlError,
    StartError,
    StoreRefused,
)
from sprawl.limits import (
    CLOUD_BUILD_TIMEOUT_S,
    CLOUD_OBJECT_BYTES_PER_S,
    CLOUD_OBJECT_TIMEOUT_S,
    CLOUD_OPEN_TIMEOUT_S,
    MANIFEST_BATCH_BYTES,
    OBJECTS_PAGE_MAX,
    STATES_PUT_MAX,
)
from sprawl.log.catalogue import (
    COLD_STATE,
    Catalogue,
    Record,
    slot_records,
    states_of_records,
)
from sprawl.log.cloud import mover as plan
from sprawl.log.cloud.cold import ColdReads, Run
from sprawl.log.cloud.layout import (
    HISTORY_KEY,
    cluster_prefix,
    manifest_key,
    pack_values,
    segment_name,
)
from sprawl.log.cloud.mover import BuiltObject, LocalWindow, Mover
from sprawl.log.cloud.objects import ObjectInfo, Upload
from sprawl.log.cloud.place import StorePlace
from sprawl.log.cloud.remote import RemoteStore
from sprawl.log.figures import CloudFigures
from sprawl.log.reads import ColdWant, Parts, Want
from sprawl.log.recovery import damaged_ranges
from sprawl.log.store import Damage, LogStore
from sprawl.log.windows import Window, Windows
from sprawl.worker.frames import Body
from sprawl.worker.host import Worker

_log: Final = logging.getLogger("sprawl.log")
_PAUSE_S: Final = 1.0
_PARTITION_ORDER: Final = b"\x01"
# Topic ids up to this one are the log's own.
_OWN_IDS_MAX: Final = 2
# Slots recorded in one turn of the loop, and topics asked for under one lock of the engine.
_SLOTS_PER_TURN: Final = 32
_TOPICS_PER_LOCK: Final = 200


class Engine(Protocol):
    """What moving needs of the engine; its methods may be called on any thread."""

    def tail_lsn(self) -> int:
        """Where memory begins."""

    def record_manifests(
        self, slot: int, records: Sequence[tuple[bytes, bytes | None]], now_ns: int
    ) -> int:
        """Appends records of ``$sys.manifest``; the log position after them."""

    def topics_for_segment(
        self, ids: Sequence[int]
    ) -> list[tuple[int, str | None, list[tuple[int, int]]]]:
        """Names and lifetimes of topics."""

    def topic_states(self, ids: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Records of topics as they are now."""

    def is_needed(self, topic_id: int, partition: int, end: int) -> bool:
        """Whether records that end there can still be read, as far as offsets tell."""

    def retired_cold(
        self, place: tuple[int, int], low: int, records: int, size: int, oldest_ns: int
    ) -> None:
        """Raises a low offset over what lies in the cloud alone."""


class Disk(Protocol):
    """What moving needs of the disk tier."""

    async def durable(self, end_lsn: int) -> None:
        """Returns once the disk has everything below a position."""

    async def put_states(self, states: dict[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        """Puts named states; synced on return."""

    async def write_lows(self) -> None:
        """Makes the low offsets durable."""

    async def hand_over(self, window: Window) -> None:
        """Lets the oldest window go to the cloud; nothing when it is gone already."""


@dataclass(frozen=True, slots=True)
class _Build:
    """What the worker made of a window."""

    window: LocalWindow
    records: list[tuple[int, list[Record]]]
    """By slot; empty when the window holds nothing but the log's own batches."""
    objects: tuple[BuiltObject, ...]


@dataclass(frozen=True, slots=True)
class _Dead:
    """What of the cloud can go: ``over`` as ``retired_cold`` takes it, segments with their states."""

    over: list[tuple[tuple[int, int], int, int, int, int]]
    segments: dict[str, list[bytes]]


class CloudTier:
    """Made on the loop, after the disk tier; ``open`` before the node serves, ``run`` as a task."""

    def __init__(
        self,
        *,
        worker: Worker,
        remote: RemoteStore,
        cluster_id: str,
        engine: Engine,
        disk: Disk,
        store: LogStore,
        windows: Windows,
        catalogue: Catalogue,
        age_s: float,
        local_bytes_max: int,
        now_ns: Callable[[], int],
        run: Run,
        look: Callable[[Want, int], ColdWant | Parts],
    ) -> None:
        self.place: Final[StorePlace] = remote.place
        self.catalogue: Final = catalogue
        self.reads: Final = ColdReads(remote, cluster_prefix(cluster_id), run=run, look=look)
        self._prefix: Final = cluster_prefix(cluster_id)
        self._cluster_id = cluster_id
        self._worker = worker
        self._remote = remote
        self._engine = engine
        self._disk = disk
        self._store = store
        self._windows = windows
        self._now_ns = now_ns
        self._mover = Mover(age_s=int(age_s), local_bytes_max=local_bytes_max)
        self._fed_lsn = 0
        self._build: _Build | None = None
        self._bell = asyncio.Event()
        self._is_open = False
        self._error: str | None = None
        self.moved_windows = 0
        self.uploaded_bytes = 0

    # --- Contact. ---

    async def open(self) -> None:
        """First contact, at most ``CLOUD_OPEN_TIMEOUT_S``.

        A store that cannot be reached is tried again by ``run``. Raises StoreRefused for keys and
        names, StartError when the objects there are of another log.
        """
        try:
            async with asyncio.timeout(CLOUD_OPEN_TIMEOUT_S):
                await self._open()
        except (StoreRefused, StartError):
            raise
        except (SprawlError, TimeoutError) as error:
            self._fail(error.detail if isinstance(error, SprawlError) else "no answer in time")

    async def _open(self) -> None:
        await self._remote.prepare()
        history = await asyncio.to_thread(self.catalogue.history)
        note = {"version": 1, "cluster_id": self._cluster_id, "history": history}
        try:
            await self._remote.put(self._prefix + HISTORY_KEY, orjson.dumps(note), create_only=True)
        except ObjectExists:
            if await self._found_history() != history:
                raise self._foreign() from None
        self._is_open = True
        self._recover()

    async def _found_history(self) -> str:
        """What the bucket says, empty when that is nothing or cannot be read."""
        try:
            data = await self._remote.get(self._prefix + HISTORY_KEY)
        except ObjectNotFound:
            return ""
        try:
            found = orjson.loads(data)
            return str(found["history"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ""

    def _foreign(self) -> StartError:
        return StartError(
            f"bucket {self.place.bucket} at {self.place.shown} holds objects of another log under "
            f"{self._prefix}: use another bucket, or rebuild this node from it with "
            "sprawlctl tier restore",
            location="MINIO_ENDPOINT",
        )

    # --- Moves. ---

    def ask(self) -> None:
        """Everything that is sealed now is to move, whatever its age."""
        if windows := self._windows.all:
            self._mover.receive(plan.Asked(windows[-1].end_lsn), self._now_ns())
            self._bell.set()

    async def run(self) -> None:
        """Moves windows until it is cancelled."""
        while not self._is_open:
            try:
                await self._open()
            except StartError:
                raise
            except SprawlError as error:
                self._fail(error.detail)
                await asyncio.sleep(_PAUSE_S)
        while True:
            await self._feed()
            effect = self._mover.take()
            if effect is None:
                await self._pause()
                self._mover.receive(plan.Tick(), self._now_ns())
                continue
            try:
                event = await self._perform(effect)
            except SprawlError as error:
                event = plan.Failed(f"{_step_name(effect)}: {error.detail}")
            self._mover.receive(event, self._now_ns())
            if self._mover.error:
                self._fail(self._mover.error)
            else:
                self._recover()

    async def stop(self) -> None:
        """Ends the reads that are under way and the worker process."""
        await self.reads.stop()
        await self._worker.stop()

    def figures(self) -> CloudFigures:
        """What the tier says of itself."""
        waiting = [w for w in self._windows.all if w.records]
        now_ns = self._now_ns()
        stats = self.reads.stats
        return CloudFigures(
            endpoint=self.place.shown,
            bucket=self.place.bucket,
            prefix=self._prefix,
            is_degraded=self._error is not None,
            error=self._error or "",
            segments_count=self.catalogue.segments_count,
            stored_bytes=self.catalogue.stored_bytes,
            moved_windows=self.moved_windows,
            uploaded_bytes=self.uploaded_bytes,
            waiting_windows=len(waiting),
            lag_s=max(0, now_ns - waiting[0].newest_ns) / SECOND_NS if waiting else 0.0,
            reads=stats.reads,
            requests=stats.requests,
            fetched_bytes=stats.fetched_bytes,
            kept_reads=stats.kept_reads,
            failed_reads=stats.failed,
        )

    async def _pause(self) -> None:
        wait_s = (self._mover.wakes_ns(self._now_ns()) - self._now_ns()) / SECOND_NS
        try:
            async with asyncio.timeout(max(0.01, min(wait_s, _PAUSE_S))):
                await self._bell.wait()
        except TimeoutError:
            return
        self._bell.clear()

    async def _feed(self) -> None:
        """Tells the mover of windows that memory let go of, and of those that are gone."""
        windows, tail_lsn, now_ns = self._windows.all, self._engine.tail_lsn(), self._now_ns()
        self._mover.receive(plan.Gone(windows[0].first_lsn if windows else self._fed_lsn), now_ns)
        for window in windows:
            if window.first_lsn < self._fed_lsn:
                continue
            if window.end_lsn > tail_lsn:
                return
            is_covered = await asyncio.to_thread(self.catalogue.is_covered, window)
            self._fed_lsn = window.end_lsn
            self._mover.receive(plan.Sealed(_local(window), is_covered=is_covered), now_ns)

    async def _perform(self, effect: plan.Effect) -> plan.Event:
        match effect:
            case plan.Build(window):
                self._build = await self._built(window)
                return plan.Built(self._build.objects)
            case plan.Put(window, built):
                await self._put(window, built)
                self.uploaded_bytes += built.size_bytes
            case plan.Check(window, built):
                if not await self._is_equal(built):
                    return plan.Differs()
            case plan.Record(window):
                await self._record(window)
            case plan.Drop(window):
                await self._drop(window)
            case plan.List():
                await self._remove_dead()
                return await self._listed()
            case plan.Delete(keys, uploads):
                await self._delete(keys, uploads)
                _log.info("%d objects that no manifest names were removed", len(keys))
        return plan.Done()

    async def _built(self, window: LocalWindow) -> _Build:
        ids = await asyncio.to_thread(self._topic_ids, window)
        if not ids:
            return _Build(window, [], ())
        try:
            return await self._build_of(window, ids, ())
        except LogDamaged:
            # What cannot be read stays where it is: nowhere. The rest goes.
            damaged = await asyncio.to_thread(
                damaged_ranges, self._store, window.first_lsn, window.end_lsn
            )
            if not damaged:
                raise
            return await self._build_of(window, ids, damaged)

    async def _build_of(
        self, window: LocalWindow, ids: list[int], skip: Sequence[tuple[int, int]]
    ) -> _Build:
        body, topics_bytes, states_bytes = await asyncio.to_thread(self._body, window, ids, skip)
        answer = await self._remote.call(
            "segments.build",
            {"topics_bytes": topics_bytes, "states_bytes": states_bytes},
            body,
            timeout_s=CLOUD_BUILD_TIMEOUT_S,
        )
        return await asyncio.to_thread(_build_of, window, answer.members, answer.body)

    def _topic_ids(self, window: LocalWindow) -> list[int]:
        prefix = window.first_lsn.to_bytes(8, "big") + _PARTITION_ORDER
        found: set[int] = set()
        for _, value in self._store.index_iter(prefix):
            found |= {entry[0] for entry in last_entries(value)}
        return sorted(topic_id for topic_id in found if topic_id > _OWN_IDS_MAX)

    def _body(
        self, window: LocalWindow, ids: list[int], skip: Sequence[tuple[int, int]]
    ) -> tuple[memoryview, int, int]:
        """Topics, their states and the bytes of a window, without ``skip``, in one buffer.

        Filled piece by piece: one copy of all would hold the interpreter for tens of milliseconds.
        Raises LogDamaged for a piece that cannot be read.
        """
        named, known = [], []
        for at in range(0, len(ids), _TOPICS_PER_LOCK):
            some = ids[at : at + _TOPICS_PER_LOCK]
            named += self._engine.topics_for_segment(some)
            known += self._engine.topic_states(some)
        topics = msgspec.json.encode(named)
        states = pack_values(bytes(value) for value in snapshot_pack(known))
        length = window.end_lsn - window.first_lsn
        buffer = mmap.mmap(-1, len(topics) + len(states) + length)
        buffer.write(topics)
        buffer.write(states)
        at = window.first_lsn
        for start, end in (*skip, (window.end_lsn, window.end_lsn)):
            for part in self._store.iter_log(at, start):
                if isinstance(part, Damage):
                    raise LogDamaged(
                        f"log positions {part.lsn} to {part.end_lsn}: {part.why}",
                        members={"lsn": part.lsn, "end_lsn": part.end_lsn},
                    )
                buffer.write(part.data)
            at = end
        return memoryview(buffer)[: buffer.tell()], len(topics), len(states)

    async def _put(self, window: LocalWindow, built: BuiltObject) -> None:
        members = {"prefix": self._prefix, "key": built.key}
        try:
            await self._remote.call("segments.put", members, timeout_s=_timeout_s(built))
        except ObjectNotFound:
            # The worker was started anew since the build.
            await self._rebuild(window, built)
            await self._remote.call("segments.put", members, timeout_s=_timeout_s(built))

    async def _rebuild(self, window: LocalWindow, built: BuiltObject) -> None:
        again = await self._built(window)
        assert self._build is not None, "what is put was built"
        if built not in again.objects:
            raise LogDamaged(f"{built.key} became another when it was built again")

    async def _is_equal(self, built: BuiltObject) -> bool:
        members = {"prefix": self._prefix, "key": built.key}
        try:
            answer = await self._remote.call("segments.check", members, timeout_s=_timeout_s(built))
        except ObjectNotFound:
            # Started anew: it is put again, and then compared.
            return False
        return answer.members["is_equal"] is True

    async def _record(self, window: LocalWindow) -> None:
        """Appends the manifest records, and puts what follows from them once they are durable."""
        build = self._build
        assert build is not None, "what is recorded was built"
        assert build.window == window, "what is recorded was built last"
        waiting: list[tuple[int, list[Record]]] = []
        size = end_lsn = 0
        for slot, records in build.records:
            for batch in _batches(records):
                end_lsn = self._engine.record_manifests(slot, batch, self._now_ns())
                size += sum(len(key) + len(value) for key, value in batch)
            waiting.append((slot, records))
            if len(waiting) % _SLOTS_PER_TURN == 0:
                await asyncio.sleep(0)
            if size >= MANIFEST_BATCH_BYTES:
                await self._settle(waiting, end_lsn, window.end_lsn)
                waiting, size = [], 0
        if waiting:
            await self._settle(waiting, end_lsn, window.end_lsn)

    async def _settle(
        self, recorded: list[tuple[int, list[Record]]], end_lsn: int, window_end: int
    ) -> None:
        await self._disk.durable(end_lsn)
        states: dict[bytes, bytes] = {}
        for _, records in recorded:
            states |= states_of_records(records, window_end)
        names = list(states)
        for at in range(0, len(names), STATES_PUT_MAX):
            await self._disk.put_states({n: states[n] for n in names[at : at + STATES_PUT_MAX]})
        await asyncio.to_thread(self._take_in, recorded)

    def _take_in(self, recorded: list[tuple[int, list[Record]]]) -> None:
        for slot, records in recorded:
            self.catalogue.add(slot, records)

    async def _drop(self, window: LocalWindow) -> None:
        for found in self._windows.all[:1]:
            if found.first_lsn == window.first_lsn:
                await self._disk.hand_over(found)
                self.moved_windows += 1
        self._build = None

    # --- Clearing. ---

    async def _remove_dead(self) -> None:
        """Removes segments of which no record can be read any more, and takes their names back."""
        found = await asyncio.to_thread(self._find_dead)
        for place, low, records, size, oldest_ns in found.over:
            self._engine.retired_cold(place, low, records, size, oldest_ns)
        if found.segments:
            # Where a partition ends may be told by its low offset alone from here on.
            await self._disk.write_lows()
        for key, names in found.segments.items():
            for slot, keys in _by_slot(names):
                end_lsn = self._engine.record_manifests(
                    slot, [(key, None) for key in keys], self._now_ns()
                )
            await self._disk.durable(end_lsn)
            await self._disk.put_states({}, names)
            await asyncio.to_thread(self.catalogue.remove, names, [key])
            # A crash in between leaves what nobody names: the janitor's.
            await self._delete([key, manifest_key(key)], ())
        if found.segments:
            _log.info("%d segments that nobody can read any more were removed", len(found.segments))

    def _find_dead(self) -> "_Dead":
        """Looks at every range in the order of offsets; the first that lives keeps those after it."""
        now_ns = self._now_ns()
        names: dict[str, list[bytes]] = {}
        living: set[str] = set()
        kept: set[tuple[int, int]] = set()
        over = []
        for name, manifest in self.catalogue.pieces():
            names.setdefault(manifest.key, []).append(name)
            for found in manifest.partitions:
                topic_id, partition, _, _, last, records, _, newest_ns, log_bytes, expiry_ns = found
                place = (topic_id, partition)
                if not self._engine.is_needed(topic_id, partition, last + 1):
                    continue
                if place not in kept and 0 < expiry_ns < now_ns:
                    over.append((place, last + 1, records, log_bytes, newest_ns))
                    continue
                kept.add(place)
                living.add(manifest.key)
        return _Dead(over, {key: of for key, of in names.items() if key not in living})

    async def _listed(self) -> plan.Listed:
        objects: list[ObjectInfo] = []
        after, is_last = "", False
        while not is_last:
            page = await self._remote.page(self._prefix, after=after, limit=OBJECTS_PAGE_MAX)
            objects += page
            is_last = len(page) < OBJECTS_PAGE_MAX
            after = page[-1].key if page else ""
        uploads = await self._remote.uploads(self._prefix)
        named = await asyncio.to_thread(self._names)
        cut = len(self._prefix)
        bare = [
            ObjectInfo(info.key[cut:], info.size_bytes, info.etag, info.modified_ns)
            for info in objects
        ]
        return plan.Listed(tuple(bare), tuple(uploads), named)

    def _names(self) -> frozenset[str]:
        names = {segment_name(manifest.key) for _, manifest in self.catalogue.pieces()}
        return frozenset(names | {name.partition("-")[0] for name in names})

    async def _delete(self, keys: Sequence[str], uploads: Sequence[Upload]) -> None:
        for key in keys:
            await self._remote.delete(self._prefix + key)
        for upload in uploads:
            await self._remote.abort(upload)

    # --- State. ---

    def _fail(self, reason: str) -> None:
        if reason != self._error:
            _log.warning("the cloud tier is degraded: %s", reason)
        self._error = reason

    def _recover(self) -> None:
        if self._error is not None:
            _log.warning("the cloud tier works again")
        self._error = None


def _build_of(window: LocalWindow, members: object, body: Body) -> _Build:
    found = msgspec.convert(members, _Built)
    manifests, at = [], 0
    for length in found.manifests:
        manifests.append(SegmentManifest(bytes(body[at : at + length])))
        at += length
    objects = tuple(
        BuiltObject(key, size, bytes.fromhex(digest)) for key, size, digest in found.objects
    )
    return _Build(window, slot_records(found.covers, manifests), objects)


class _Built(msgspec.Struct):
    """Members of the answer to ``segments.build``."""

    covers: list[tuple[int, int, int, int]]
    objects: list[tuple[str, int, str]]
    manifests: list[int]


def _timeout_s(built: BuiltObject) -> float:
    """Seconds for one object: the least, and what its bytes take over a slow line."""
    return CLOUD_OBJECT_TIMEOUT_S + built.size_bytes / CLOUD_OBJECT_BYTES_PER_S


def _local(window: Window) -> LocalWindow:
    return LocalWindow(window.first_lsn, window.end_lsn, window.oldest_ns, window.newest_ns)


def _batches(records: Sequence[Record]) -> list[list[Record]]:
    """Records cut into batches; the last one of all, a slot's cover, ends the last."""
    batches: list[list[Record]] = [[]]
    size = 0
    for record in records:
        if size >= MANIFEST_BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(record)
        size += len(record[0]) + len(record[1])
    return batches


def _by_slot(names: Sequence[bytes]) -> list[tuple[int, list[bytes]]]:
    """Keys of records by the slot that they begin with; names are those of their states."""
    keys: dict[int, list[bytes]] = {}
    for name in names:
        key = name.removeprefix(COLD_STATE)
        keys.setdefault(int.from_bytes(key[:2], "big"), []).append(key)
    return list(keys.items())


def _step_name(effect: plan.Effect) -> str:
    names = {
        plan.Build: "building segments",
        plan.Put: "uploading",
        plan.Check: "reading back",
        plan.Record: "recording manifests",
        plan.Drop: "dropping a window",
        plan.List: "listing the bucket",
        plan.Delete: "clearing the bucket",
    }
    return names[type(effect)]
