"""The disk tier of a running node: commits, windows, and reads of what memory let go.

In: an engine that says what is to be written, a listener that is told what was. Out: ``disk`` as a
promise, and pages for readers. Invariants: the store is written by the committer alone; windows are
sealed one at a time and in order; nothing here blocks the loop; a disk that fails ends the node
before another answer leaves. Source: docs/design/disk.md.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from sprawl._native import Page, Slice, build_window, slot_of
from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import Conflict, DiskFailed, SprawlError, StartError
from sprawl.limits import DISK_READERS_COUNT, LOWS_TAKEN_MAX, MEND_TIMEOUT_S, WINDOW_BYTES
from sprawl.log.ahead import WriteAhead, open_journal
from sprawl.log.catalogue import COLD_STATE, Catalogue, ColdRange
from sprawl.log.committer import Commit, Committer
from sprawl.log.figures import DiskFigures
from sprawl.log.keeping import Engine as Keeping_
from sprawl.log.keeping import Keeping
from sprawl.log.lasting import low_states
from sprawl.log.reads import ColdWant, Parts, Want, read_page, read_parts
from sprawl.log.recovery import Engine as Restoring
from sprawl.log.recovery import find_log, log_end, restore
from sprawl.log.retention import ColdSpan
from sprawl.log.scrub import Scrubber
from sprawl.log.starts import Starts, start_state
from sprawl.log.store import LogStore
from sprawl.log.windows import IndexDamaged, Window, Windows, window_of

if TYPE_CHECKING:
    # A shape that only the stub has.
    from sprawl._native import _WindowHeader

_log: Final = logging.getLogger("sprawl.log")
# A window is at most this part of the memory tier, so that memory can always let go of some.
_RING_SHARE: Final = 4
# Later than anything that is appended.
_FOR_EVER_NS: Final = (1 << 63) - 1

T = TypeVar("T")

Buffers = Sequence[bytes | memoryview | Slice]
"""Views of log bytes, in order."""


class Engine(Protocol):
    """What the disk tier needs of the engine; the compiled one is bound directly."""

    def take_commit(self, bytes_max: int) -> tuple[int, Buffers, int, int] | None:
        """First position, bytes, end position and mark of the next ticks, None when there are none."""

    def set_disk_full(self, is_full: bool) -> None:
        """Whether the disk takes nothing now."""

    def window(self, bytes_min: int) -> tuple[int, Buffers, int] | None:
        """First position, bytes and end position of the window to seal, None below ``bytes_min``."""

    def window_sealed(self, end_lsn: int) -> None:
        """Memory may let go of what lies below ``end_lsn``."""

    def age_out(self, before_ns: int) -> None:
        """Lets go of chunks in which everything was appended before a time."""

    def topics_for_segment(
        self, ids: Sequence[int]
    ) -> Sequence[tuple[int, str | None, Sequence[tuple[int, int]]]]:
        """Id, name (None: forgotten) and lifetimes of topics."""


class KeptEngine(Engine, Keeping_, Protocol):
    """An engine whose log is kept in order."""


class RestoredEngine(KeptEngine, Restoring, Protocol):
    """An engine that takes up a log and goes on with it."""


EngineT = TypeVar("EngineT", bound=RestoredEngine)


class Listener(Protocol):
    """What is told of progress."""

    def synced(self, end_lsn: int, mark: int) -> None:
        """Everything up to ``mark`` is on disk."""

    def use_disk(
        self,
        wake_committer: Callable[[], None],
        read_disk: Callable[[Want, Callable[[Page | None], None]], None],
    ) -> None:
        """Connects the tier."""


ReadCold = Callable[[ColdWant, Callable[[Page | None], None]], None]
"""Reads a page from the cloud and calls back in the loop; None when it failed."""


class Source:
    """Commits of the engine, taken on the committer's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take_commit(self, bytes_max: int) -> Commit | None:
        """The next whole ticks; None when there is nothing."""
        taken = self._engine.take_commit(bytes_max)
        if taken is None:
            return None
        first_lsn, parts, end_lsn, mark = taken
        return Commit(first_lsn, parts, end_lsn, mark)


class DiskTier:
    """Made on the loop after recovery; started once the listener exists."""

    def __init__(
        self,
        store: LogStore,
        ahead: WriteAhead,
        windows: Windows,
        engine: KeptEngine,
        *,
        start: int,
        clock: Clock,
        now_ns: Callable[[], int],
        disk_bytes_max: int,
        memory_bytes_max: int,
        memory_age_s: float,
        seal_age_s: float,
        failed: Callable[[SprawlError], None],
        catalogue: Catalogue | None = None,
    ) -> None:
        self.store: Final = store
        self.windows: Final = windows
        self.catalogue: Final = catalogue
        self.is_full = False
        self._start = start
        self._engine = engine
        self._clock = clock
        self._now_ns = now_ns
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._window_bytes = min(WINDOW_BYTES, memory_bytes_max // _RING_SHARE)
        self._memory_age_s = memory_age_s
        self._seal_age_s = seal_age_s
        self._sealed_at_ns = clock.monotonic_ns()
        self._is_sealing = False
        self._listener: Listener | None = None
        self._pool = ThreadPoolExecutor(DISK_READERS_COUNT, "sprawl-disk")
        self.committer: Final = Committer(
            store,
            ahead,
            Source(engine),
            clock=clock,
            on_durable=self._on_durable,
            on_full=self._on_full,
            on_failed=failed,
        )
        self.keeping: Final = Keeping(
            store,
            windows,
            engine,
            self.committer,
            run=self._run,
            seal=self.seal_now,
            now_ns=now_ns,
            bytes_max=disk_bytes_max,
            cold_ranges=None if catalogue is None else self._cold_spans,
        )
        self.scrubber: Final = Scrubber(store, windows, self.committer, run=self._run)
        self._sealed_event = asyncio.Event()
        self._read_cold: ReadCold | None = None
        self._durable_lsn = 0
        self._durable: list[tuple[int, asyncio.Future[None]]] = []
        self._compaction: asyncio.Task[int] | None = None
        self._mending: set[asyncio.Task[Page | ColdWant]] = set()

    def start(self, listener: Listener) -> None:
        """Connects the listener and starts to commit."""
        self._listener = listener
        listener.use_disk(self.committer.wake, self.read)
        self.committer.start()

    async def stop(self) -> bool:
        """Commits what is there; False when something was left. Nothing is appended any more."""
        if self._compaction is not None:
            self._compaction.cancel()
        for mending in tuple(self._mending):
            mending.cancel()
        while lows := self._engine.take_lows(LOWS_TAKEN_MAX):
            self.committer.submit((), lambda: None, state=low_states(lows))
        is_drained = await self.committer.stop()
        if is_drained:
            is_drained = await self._loop.run_in_executor(self._pool, self._sign_clean)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.store.close()
        return is_drained

    def _sign_clean(self) -> bool:
        """Notes in the log that it ends in order; False when it cannot."""
        try:
            end_lsn = log_end(self.store, self.windows.all)
            self.store.state_put(start_state(self._start, end_lsn))
        except SprawlError as error:
            _log.warning("the orderly end of the log is not noted: %s", error)
            return False
        return True

    async def tick(self) -> None:
        """Once a second: seals by age, and lets memory go of what is old enough."""
        if self._listener is None:
            return
        if self._clock.monotonic_ns() - self._sealed_at_ns >= int(self._seal_age_s * SECOND_NS):
            self._seal(1)
        self._engine.age_out(self._now_ns() - int(self._memory_age_s * SECOND_NS))

    async def keep(self) -> None:
        """Once a second: retention, cleaning, the bound."""
        if self._listener is not None:
            await self.keeping.step()

    async def scrub(self) -> None:
        """Verifies what lies on disk, round after round, until it is cancelled."""
        await self.scrubber.run()

    async def let_go(self) -> None:
        """Lets memory go of everything that is on disk now."""
        self._engine.age_out(_FOR_EVER_NS)
        await self._seal_all()
        self._engine.age_out(_FOR_EVER_NS)

    async def compact(self, timeout_s: float) -> bool:
        """Retention and cleaning now, at most ``timeout_s``; False when they still go on then.

        Raises Conflict while another call's go on.
        """
        if self._compaction is not None and not self._compaction.done():
            raise Conflict("compaction already in progress", code="operation_in_progress")
        task = self._compaction = self._loop.create_task(self._compact(), name="log.compact")
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            task.add_done_callback(_log_failure)
            return False
        task.result()
        return True

    def figures(self) -> DiskFigures:
        """What the tier says of itself."""
        stats, windows = self.committer.stats, self.windows.all
        return DiskFigures(
            path=str(self.store.path),
            state="full" if self.is_full else self.keeping.state,
            used_bytes=self.keeping.used_bytes,
            bytes_max=self.keeping.bytes_max,
            windows_count=len(windows),
            first_lsn=windows[0].first_lsn if windows else 0,
            oldest_reader_age_ns=self.store.oldest_reader_age_ns(),
            commits=stats.commits,
            commit_bytes=stats.log_bytes,
            commit_full=stats.full,
            commit_counts=tuple(stats.seconds_log2),
            commit_sum_ns=stats.sum_ns,
            scrubbed_bytes=self.scrubber.bytes,
            damaged=tuple(self.scrubber.damaged),
            damaged_count=self.scrubber.damaged_count,
            rebuilt_count=self.scrubber.rebuilt_count,
            dropped_windows=self.keeping.dropped_windows,
        )

    def seal_now(self) -> None:
        """Seals what is on disk, however little it is."""
        self._seal(1)

    def use_cloud(self, read_cold: ReadCold) -> None:
        """Connects the cloud tier."""
        self._read_cold = read_cold

    def read(self, want: Want, done: Callable[[Page | None], None]) -> None:
        """Reads a page on a pool thread and calls ``done`` in the loop; None when it failed.

        A read that meets a damaged index waits until that is built again.
        """
        future = self._pool.submit(self._look_up, want, is_last=False)

        def finished(_: object) -> None:
            self._loop.call_soon_threadsafe(self._read, want, future, done)

        future.add_done_callback(finished)

    def _look_up(self, want: Want, *, is_last: bool) -> Page | ColdWant:
        find_cold = None if self.catalogue is None else self._find_cold
        return read_page(self.store, self.windows, want, find_cold, is_last=is_last)

    async def durable(self, end_lsn: int) -> None:
        """Returns once the disk has everything below a position."""
        if end_lsn > self._durable_lsn:
            reached: asyncio.Future[None] = self._loop.create_future()
            self._durable.append((end_lsn, reached))
            await reached

    async def put_states(
        self, states: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()
    ) -> None:
        """Puts named states, deletes others; synced on return."""
        await self.keeping.put_states(states, deletes)

    async def write_lows(self) -> None:
        """Makes the low offsets durable."""
        await self.keeping.write_lows()

    async def hand_over(self, window: Window) -> None:
        """Lets the oldest window go to the cloud, which has it; nothing when it is gone already."""
        await self.keeping.hand_over(window)

    def run_in_pool(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Runs what takes long on a thread that reads from disk."""
        return self._run(work)

    def look(self, want: Want, bytes_max: int) -> "Parts | ColdWant":
        """What follows an offset, and in which tier; blocks, for a pool's thread."""
        return read_parts(self.store, self.windows, want, self._find_cold, bytes_max)

    def _find_cold(
        self, topic_id: int, partition: int, offset: int, since_ns: int
    ) -> ColdRange | None:
        assert self.catalogue is not None, "only with a cloud tier"
        slot = self._slot(topic_id, partition)
        if slot is None:
            return None
        return self.catalogue.find(slot, topic_id, partition, offset, since_ns)

    def _cold_spans(self, topic_id: int, partition: int, low: int) -> list[ColdSpan]:
        """What of a partition lies in the cloud and above its low offset."""
        assert self.catalogue is not None, "only with a cloud tier"
        slot = self._slot(topic_id, partition)
        found = [] if slot is None else self.catalogue.ranges(slot, topic_id, partition)
        return [
            (r.first, r.last, r.records, r.log_bytes, r.oldest_ns, r.newest_ns)
            for r in found
            if r.last >= low
        ]

    def _slot(self, topic_id: int, partition: int) -> int | None:
        """The slot of a partition; None when its topic is forgotten."""
        ((_, name, _),) = self._engine.topics_for_segment([topic_id])
        return None if name is None else slot_of(name, partition)

    def _read(
        self, want: Want, future: "Future[Page | ColdWant]", done: Callable[[Page | None], None]
    ) -> None:
        error = None if future.cancelled() else future.exception()
        if not isinstance(error, IndexDamaged):
            self._give(_page_of(future), done)
            return
        mending = self._loop.create_task(self._mended(want, error.window), name="log.mend")
        self._mending.add(mending)
        mending.add_done_callback(self._mending.discard)
        mending.add_done_callback(lambda task: self._give(_page_of(task), done))

    def _give(self, page: Page | ColdWant | None, done: Callable[[Page | None], None]) -> None:
        if isinstance(page, ColdWant):
            assert self._read_cold is not None, "cold reads are connected before the first read"
            self._read_cold(page, done)
        else:
            done(page)

    async def _mended(self, want: Want, window: Window) -> Page | ColdWant:
        """The page, once the index of a window was built again; a gap where that cannot be."""
        try:
            async with asyncio.timeout(MEND_TIMEOUT_S):
                await self.scrubber.mend(window)
        except (SprawlError, TimeoutError) as error:
            _log.error("index of window %d is not built again: %r", window.first_lsn, error)
        return await self._run(lambda: self._look_up(want, is_last=True))

    def _on_durable(self, end_lsn: int, mark: int) -> None:
        assert self._listener is not None
        self._listener.synced(end_lsn, mark)
        self._durable_lsn = end_lsn
        if self._durable:
            waiting, self._durable = self._durable, []
            for wanted, reached in waiting:
                if wanted > end_lsn:
                    self._durable.append((wanted, reached))
                elif not reached.done():
                    reached.set_result(None)
        self._seal(self._window_bytes)

    def _on_full(self, is_full: bool) -> None:
        self.is_full = is_full
        self._engine.set_disk_full(is_full)
        if is_full:
            _log.error("the disk is full: publishes are refused with 507, reads go on")
        else:
            _log.warning("the disk has room again: publishes go on")

    def _run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        return self._loop.run_in_executor(self._pool, work)

    async def _compact(self) -> int:
        await self._seal_all()
        return await self.keeping.step()

    async def _seal_all(self) -> None:
        """Returns once everything that is on disk now lies in windows."""
        if self._is_sealing:
            await self._sealed_event.wait()
        if self._seal(1):
            await self._sealed_event.wait()

    def _seal(self, bytes_min: int) -> bool:
        """Begins to seal a window when there is enough for one; True when one is being sealed."""
        if self._is_sealing:
            return True
        found = self._engine.window(bytes_min)
        if found is None:
            return False
        self._sealed_event.clear()
        first_lsn, parts, _ = found
        self._is_sealing = True
        self._sealed_at_ns = self._clock.monotonic_ns()
        future = self._pool.submit(build_window, first_lsn, parts, False)

        def built(_: object) -> None:
            self._loop.call_soon_threadsafe(self._built, future)

        future.add_done_callback(built)
        return True

    def _built(self, future: Future[tuple["_WindowHeader", list[tuple[bytes, Slice]]]]) -> None:
        if future.cancelled():
            return
        if error := future.exception():
            # Without windows memory could never let go of anything again.
            failure = error if isinstance(error, SprawlError) else DiskFailed(str(error))
            self._failed(failure)
            return
        header, items = future.result()
        window = window_of(header)
        self.committer.submit(items, partial(self._sealed, window))

    def _sealed(self, window: Window) -> None:
        self.windows.append(window)
        self._engine.window_sealed(window.end_lsn)
        self._is_sealing = False
        self._sealed_event.set()
        self._seal(self._window_bytes)


def _page_of(
    read: "Future[Page | ColdWant] | asyncio.Task[Page | ColdWant]",
) -> Page | ColdWant | None:
    if read.cancelled():
        return None
    if error := read.exception():
        _log.error("the disk tier cannot be read: %s", error, exc_info=error)
        return None
    return read.result()


def _log_failure(task: "asyncio.Task[int]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("compaction failed: %s", error, exc_info=error)


def open_tier(
    directory: Path,
    new_engine: Callable[[int], EngineT],
    starts: Starts,
    *,
    disk_bytes_max: int,
    memory_bytes_max: int,
    memory_age_s: float,
    cloud_age_s: float | None,
    clock: Clock,
    now_ns: Callable[[], int],
    failed: Callable[[SprawlError], None],
) -> tuple[EngineT, DiskTier]:
    """Opens the log of a directory, makes an engine that goes on at its end, and the tier.

    ``new_engine`` takes the position where the log goes on; ``cloud_age_s`` is None without a cloud
    tier, which then owns what lies below ``disk_bytes_max``. Raises StartError for what cannot be
    opened or is not of the time of its directory, LogDamaged for what cannot be believed; nothing
    was changed then.
    """
    store = LogStore(
        directory, disk_bytes_max=disk_bytes_max, is_new=starts.with_log == 0, clock=clock
    )
    try:
        journal = open_journal(store, starts)
        found = find_log(store, starts)
        catalogue = None if cloud_age_s is None else Catalogue(store)
        if catalogue is None and next(store.state_iter(COLD_STATE), None) is not None:
            raise StartError(
                f"the log in {store.path} has messages in the cloud tier, which is off: "
                "set SPRAWL_STORAGE_CLOUD_ENABLED=true with its endpoint and keys"
            )
        engine = new_engine(found.end_lsn)
        # Before the log notes this start: a journal of an older one is then an old copy.
        journal.begin(starts.number)
        restore(engine, store, found, starts.number, catalogue)
    except BaseException:
        store.close()
        raise
    windows = Windows(store)
    for window in found.windows:
        windows.append(window)
    tier = DiskTier(
        store,
        WriteAhead(store, journal),
        windows,
        engine,
        start=starts.number,
        clock=clock,
        now_ns=now_ns,
        # With a cloud tier the oldest go there instead.
        disk_bytes_max=disk_bytes_max if catalogue is None else 0,
        memory_bytes_max=memory_bytes_max,
        memory_age_s=memory_age_s,
        seal_age_s=seal_age_s(memory_age_s, cloud_age_s),
        failed=failed,
        catalogue=catalogue,
    )
    return engine, tier


def seal_age_s(memory_age_s: float, cloud_age_s: float | None) -> float:
    """Half of the smallest age at which a tier lets go: a window is younger than that."""
    ages = [memory_age_s] if cloud_age_s is None else [memory_age_s, cloud_age_s]
    return max(min(ages) / 2, 1.0)
