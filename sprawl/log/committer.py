"""The committer: one thread that makes the log durable, many publishes by one sync.

In: a source that hands over whole ticks; a log that makes them durable; jobs beside them (index blocks, dropped
windows). Out: one call into the loop per commit. Invariants: this thread alone writes the store;
``on_durable`` is called only after the commit is synced, in log order; a commit that found no room
is kept and tried again; after ``on_failed`` nothing more is called, and nothing of that commit was
told durable. Source: docs/design/disk.md.

```
 take ──► put (fdatasync) ──► on_durable in the loop ──► one step of a job ──► take …
   └ nothing there, no job: sleep until ``wake``
```

Full disk: ``on_full(True)`` once, then the same write again every second until it succeeds, then
``on_full(False)``. Nothing else is taken meanwhile, so what waits is bounded by the source.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from sprawl.clock import SECOND_NS, Clock
from sprawl.errors import DiskFailed, DiskFull, SprawlError, Unavailable
from sprawl.limits import (
    COMMIT_BYTES_MAX,
    DISK_FULL_RETRY_S,
    LOG_JOBS_MAX,
    READER_CHECK_INTERVAL_S,
)
from sprawl.log.journal import Buffer
from sprawl.log.store import Item, LogStore

_BUCKETS: Final = 40
_END: Final = object()


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit makes durable.

    ``parts`` are log bytes ``[first_lsn, end_lsn)``, in order, ``tick`` the newest tick that is whole
    in them, ``records`` how many messages they hold (0: not counted).
    """

    first_lsn: int
    parts: Sequence[Buffer]
    end_lsn: int
    tick: int
    records: int = 0


class Source(Protocol):
    """Where commits come from; called on the committer's thread."""

    def take_commit(self, bytes_max: int) -> Commit | None:
        """The next whole ticks, of ``bytes_max`` log bytes or the one tick that is longer.

        None when there is nothing.
        """


class Log(Protocol):
    """Where commits go; called on the committer's thread alone."""

    def put(self, first_lsn: int, parts: Sequence[Buffer]) -> None:
        """Makes log bytes durable; raises DiskFull when nothing was taken."""

    def settle(self) -> None:
        """Everything that was put lies in the store on return."""


@dataclass(slots=True)
class CommitStats:
    """Figures since the start; ``seconds_log2`` counts commits by powers of two of nanoseconds."""

    commits: int = 0
    log_bytes: int = 0
    records: int = 0
    jobs: int = 0
    full: int = 0
    sum_ns: int = 0
    seconds_log2: list[int] = field(default_factory=lambda: [0] * _BUCKETS)


@dataclass(slots=True)
class _Job:
    """Steps of one transaction each; ``begin`` again is harmless."""

    begin: Callable[[], Iterator[None]]
    then: Callable[[], None]
    steps: Iterator[None] | None = None


class Committer:
    """The thread ``sprawl-committer``; made, started and stopped on the loop.

    The callbacks run in the loop: ``on_durable(end_lsn, tick)`` once per commit, ``on_full`` when a
    disk fills and when it has room again, ``on_failed`` once, when the node must end at once
    without answering anything.
    """

    def __init__(
        self,
        store: LogStore,
        log: Log,
        source: Source,
        *,
        clock: Clock,
        on_durable: Callable[[int, int], None],
        on_full: Callable[[bool], None],
        on_failed: Callable[[SprawlError], None],
        bytes_max: int = COMMIT_BYTES_MAX,
        retry_s: float = DISK_FULL_RETRY_S,
    ) -> None:
        self.stats: Final = CommitStats()
        self._store = store
        self._log = log
        self._source = source
        self._clock = clock
        self._on_durable = on_durable
        self._on_full = on_full
        self._on_failed = on_failed
        self._bytes_max = bytes_max
        self._retry_s = retry_s
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_asleep = False
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._is_drained = False
        self._check_at_ns = 0
        self._thread = threading.Thread(target=self._run, name="sprawl-committer", daemon=True)

    def start(self) -> None:
        """Starts the thread; what the source has already is committed at once."""
        self._thread.start()

    def wake(self) -> None:
        """Tells that the source has something: one look at a flag unless the thread sleeps."""
        if self._is_asleep:
            self._is_asleep = False
            self._bell.put(None)

    def submit(
        self,
        index: Sequence[Item],
        then: Callable[[], None],
        *,
        deletes: Sequence[bytes] = (),
        state: Mapping[bytes, bytes] | None = None,
        state_deletes: Sequence[bytes] = (),
    ) -> None:
        """Puts index entries and states in one transaction of their own, between two commits.

        ``then`` is called in the loop once they are synced. Raises Unavailable when
        ``LOG_JOBS_MAX`` jobs wait.
        """

        def put() -> Iterator[None]:
            if index:
                # An index names positions of the store.
                self._log.settle()
            self._store.put_commit(
                (), index, deletes=deletes, state=state, state_deletes=state_deletes
            )
            yield

        self._submit(_Job(put, then))

    def drop_window(self, window: int, end_lsn: int, then: Callable[[], None]) -> None:
        """Drops the oldest window in bounded transactions between commits, then calls ``then``.

        Raises Unavailable when ``LOG_JOBS_MAX`` jobs wait.
        """
        self._submit(_Job(lambda: self._store.drop_window(window, end_lsn), then))

    def do(self, act: Callable[[], None], then: Callable[[], None]) -> None:
        """Does something to the store between two commits, then calls ``then`` in the loop.

        Raises Unavailable when ``LOG_JOBS_MAX`` jobs wait.
        """

        def steps() -> Iterator[None]:
            act()
            yield

        self._submit(_Job(steps, then))

    async def stop(self) -> bool:
        """Commits what is there, does the jobs that wait, and ends the thread.

        False when something was left undone, because the disk is full or has failed. What the last
        commits called is done when this returns. Call it once nothing is appended any more.
        """
        if self._thread.ident is None:
            return False
        self._stop.set()
        self._bell.put(None)
        await self._ended.wait()
        self._thread.join()
        return self._is_drained

    # --- On the thread. ---

    def _run(self) -> None:
        try:
            self._is_drained = self._work()
        except SprawlError as error:
            self._call(self._on_failed, error)
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread ends the node
            failure = DiskFailed(f"the committer ended: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._call(self._on_failed, failure)
        finally:
            self._call(self._ended.set)

    def _work(self) -> bool:
        """Works until it is told to stop; False when it had to leave something."""
        is_last_look = False
        while True:
            is_stopping = self._stop.is_set()
            commit = self._source.take_commit(self._bytes_max)
            if commit is not None and not self._until_written(partial(self._put, commit)):
                return False
            if self._jobs and not self._until_written(self._step):
                return False
            self._check_readers()
            if commit is not None or self._jobs:
                self._is_asleep = is_last_look = False
            elif is_stopping:
                return self._until_written(self._log.settle)
            elif is_last_look:
                self._rest()
                is_last_look = False
            else:
                # Whoever appends after this wakes the thread; what came before, the next look sees.
                self._is_asleep = is_last_look = True

    def _rest(self) -> None:
        """Sleeps until ``wake``, ``stop`` or the next search for readers."""
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=READER_CHECK_INTERVAL_S)
        self._is_asleep = False

    def _put(self, commit: Commit) -> None:
        began_ns = self._clock.monotonic_ns()
        if commit.end_lsn > commit.first_lsn:
            self._log.put(commit.first_lsn, commit.parts)
        took_ns = self._clock.monotonic_ns() - began_ns
        self._call(self._on_durable, commit.end_lsn, commit.tick)
        stats = self.stats
        stats.commits += 1
        stats.log_bytes += commit.end_lsn - commit.first_lsn
        stats.records += commit.records
        stats.sum_ns += took_ns
        stats.seconds_log2[min(took_ns.bit_length(), _BUCKETS - 1)] += 1

    def _step(self) -> None:
        """One step of the oldest job; begun again from its start after an error."""
        job = self._jobs[0]
        if job.steps is None:
            job.steps = job.begin()
        try:
            is_done = next(job.steps, _END) is _END
        except SprawlError:
            job.steps = None
            raise
        if is_done:
            self._jobs.popleft()
            self.stats.jobs += 1
            self._call(job.then)

    def _until_written(self, write: Callable[[], None]) -> bool:
        """Writes, as often as it takes while the disk is full; False when told to stop meanwhile."""
        is_full = False
        while True:
            try:
                write()
            except DiskFull:
                self.stats.full += 1
                if not is_full:
                    self._call(self._on_full, True)
                is_full = True
                if self._stop.wait(self._retry_s):
                    return False
                continue
            if is_full:
                self._call(self._on_full, False)
            return True

    def _check_readers(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._check_at_ns:
            self._check_at_ns = now_ns + int(READER_CHECK_INTERVAL_S * SECOND_NS)
            self._store.reader_check()

    def _submit(self, job: _Job) -> None:
        if len(self._jobs) >= LOG_JOBS_MAX:
            raise Unavailable(f"{len(self._jobs)} jobs wait for the committer, the most it holds")
        self._jobs.append(job)
        self.wake()

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(callback, *arguments)
