"""The committer: told durable is synced, in order, once a commit; a full disk waits, EIO ends it."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sprawl.clock import SystemClock
from sprawl.errors import DiskFailed, DiskFull, SprawlError, Unavailable
from sprawl.limits import LOG_DELETES_MAX, LOG_JOBS_MAX
from sprawl.log.committer import Commit, Committer
from sprawl.log.journal import Buffer
from sprawl.log.store import Item, LogStore
from tests.models.disk import piece

DEADLINE_S = 20


class FakeSource:
    """Ticks of the log, handed over whole."""

    def __init__(self) -> None:
        self.lsn = 0
        self.tick = 0
        self.takes = 0
        self._ticks: deque[tuple[int, bytes]] = deque()

    def publish(self, data: bytes) -> int:
        """One tick that holds ``data``; its number."""
        self.tick += 1
        self._ticks.append((self.tick, data))
        return self.tick

    def take_commit(self, bytes_max: int) -> Commit | None:
        self.takes += 1
        parts: list[Buffer] = []
        first, tick = self.lsn, 0
        while self._ticks and (not parts or self.lsn - first + len(self._ticks[0][1]) <= bytes_max):
            tick, data = self._ticks.popleft()
            parts.append(data)
            self.lsn += len(data)
        return Commit(first, parts, self.lsn, tick, len(parts)) if parts else None


class HeldStore(LogStore):
    """A store whose writes can be held up or made to fail."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.may_go = threading.Event()
        self.may_go.set()
        self.is_waiting = threading.Event()
        self.errors: deque[Exception] = deque()
        self.is_full = False
        self.puts: list[tuple[int, int]] = []
        super().__init__(*arguments, **options)

    def put_commit(
        self,
        log: Sequence[Item],
        index: Iterable[Item] = (),
        *,
        deletes: Iterable[bytes] = (),
        state: Mapping[bytes, bytes] | None = None,
        state_deletes: Iterable[bytes] = (),
    ) -> None:
        self.is_waiting.set()
        assert self.may_go.wait(DEADLINE_S)
        self.is_waiting.clear()
        if self.errors:
            raise self.errors.popleft()
        if self.is_full:
            raise DiskFull("no room")
        index = list(index)
        super().put_commit(log, index, deletes=deletes, state=state, state_deletes=state_deletes)
        self.puts.append((len(log), len(index)))


class PlainLog:
    """A log that is the store alone: a value for each part."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def put(self, first_lsn: int, parts: Sequence[Buffer]) -> None:
        items = []
        for part in parts:
            items.append(piece(first_lsn, bytes(part)))
            first_lsn += len(part)
        self._store.put_commit(items)

    def settle(self) -> None:
        pass


class House:
    """A committer with its store and source, and what it called, in order."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.store = HeldStore(directory, disk_bytes_max=0, is_new=True, clock=SystemClock())
        self.source = FakeSource()
        self.called: list[tuple[str, object]] = []
        self.threads: set[int] = set()
        self._changed = asyncio.Event()
        self.committer = Committer(
            self.store,
            PlainLog(self.store),
            self.source,
            clock=SystemClock(),
            on_durable=self._on_durable,
            on_full=lambda is_full: self.note("full", is_full),
            on_failed=lambda error: self.note("failed", error),
            **options,
        )

    def _on_durable(self, end_lsn: int, tick: int) -> None:
        assert self.store.ends()[1] >= end_lsn
        self.note("durable", tick)

    def note(self, what: str, value: object = None) -> None:
        self.called.append((what, value))
        self.threads.add(threading.get_ident())
        self._changed.set()

    def publish(self, data: bytes = b"x" * 100) -> int:
        tick = self.source.publish(data)
        self.committer.wake()
        return tick

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_called(self, what: str, value: object = None) -> None:
        await self.until(lambda: (what, value) in self.called)

    async def until_waiting(self) -> None:
        """Until a write is held up."""
        assert await asyncio.to_thread(self.store.is_waiting.wait, DEADLINE_S)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path, retry_s=0.01)
    yield house
    house.store.may_go.set()
    await house.committer.stop()
    house.store.close()


async def test_what_is_told_durable_is_in_the_store(house: House) -> None:
    house.committer.start()
    for _ in range(20):
        tick = house.publish()
        await house.until_called("durable", tick)
    assert house.store.ends() == (0, 2_000)
    assert house.threads == {threading.get_ident()}


async def test_what_comes_while_a_commit_runs_shares_the_next(house: House) -> None:
    house.committer.start()
    house.store.may_go.clear()
    first = house.publish()
    await house.until_waiting()
    last = [house.publish() for _ in range(50)][-1]
    house.store.may_go.set()
    await house.until_called("durable", last)
    assert house.called == [("durable", first), ("durable", last)]
    assert house.store.puts[-2:] == [(1, 0), (50, 0)]


async def test_a_commit_takes_whole_ticks_up_to_its_bound(tmp_path: Path) -> None:
    house = House(tmp_path, bytes_max=250)
    for _ in range(5):
        house.source.publish(b"x" * 100)
    house.source.publish(b"y" * 1_000)
    house.committer.start()
    assert await house.committer.stop()
    assert house.called == [("durable", tick) for tick in (2, 4, 5, 6)]
    house.store.close()


async def test_a_wake_in_any_moment_is_heard(house: House) -> None:
    house.committer.start()
    for turn in range(300):
        tick = house.publish(b"z")
        if turn % 3:
            await house.until_called("durable", tick)
    await house.until_called("durable", tick)
    assert house.store.ends() == (0, 300)


async def test_an_idle_committer_does_not_look_again_and_again(house: House) -> None:
    house.committer.start()
    await house.until_called("durable", house.publish())
    await house.until_called("durable", house.publish())
    async with asyncio.timeout(DEADLINE_S):
        while not house.committer._is_asleep:
            await asyncio.sleep(0)
    looks = house.source.takes
    await asyncio.sleep(0.05)
    assert house.source.takes <= looks + 1


async def test_stopping_commits_what_is_there_and_ends_the_thread(house: House) -> None:
    house.committer.start()
    house.store.may_go.clear()
    house.publish()
    await house.until_waiting()
    tick = house.publish()
    house.committer.submit([(b"k", b"v")], lambda: house.note("indexed"))
    ended = asyncio.ensure_future(house.committer.stop())
    await asyncio.sleep(0)
    house.store.may_go.set()
    assert await ended
    assert house.called[-2:] == [("durable", tick), ("indexed", None)]
    assert not house.committer._thread.is_alive()
    assert house.store.index_get(b"k") == b"v"


async def test_a_committer_that_never_started_has_nothing_to_stop(house: House) -> None:
    assert not await house.committer.stop()


# --- Jobs. ---


async def test_index_entries_go_in_a_transaction_of_their_own(house: House) -> None:
    house.committer.start()
    house.committer.submit(
        [(b"a", b"1"), (b"b", b"2")], lambda: house.note("indexed"), state={b"s": b"t"}
    )
    await house.until_called("indexed")
    house.committer.submit([(b"c", b"3")], lambda: house.note("again"), deletes=[b"a"])
    await house.until_called("again")
    assert list(house.store.index_iter()) == [(b"b", b"2"), (b"c", b"3")]
    assert house.store.state_get(b"s") == b"t"
    assert house.store.puts[-2:] == [(0, 2), (0, 1)]


async def test_dropping_a_window_lets_commits_through(house: House) -> None:
    count = 5 * LOG_DELETES_MAX
    house.committer.start()
    for _ in range(count):
        house.source.publish(b"x" * 10)
    await house.until_called("durable", house.publish(b"y"))
    house.store.may_go.clear()
    house.committer.drop_window(0, 10 * count, lambda: house.note("dropped"))
    await house.until_waiting()
    tick = house.publish(b"z")
    house.store.may_go.set()
    await house.until_called("dropped")
    assert house.called[-2:] == [("durable", tick), ("dropped", None)]
    assert house.store.ends() == (10 * count, 10 * count + 2)


async def test_jobs_are_bounded(house: House) -> None:
    for _ in range(LOG_JOBS_MAX):
        house.committer.submit((), lambda: house.note("done"))
    with pytest.raises(Unavailable, match="256 jobs wait"):
        house.committer.submit((), lambda: house.note("done"))
    house.committer.start()
    assert await house.committer.stop()
    assert house.called == [("done", None)] * LOG_JOBS_MAX


# --- Failures. ---


async def test_a_full_disk_keeps_the_commit_until_there_is_room(house: House) -> None:
    house.committer.start()
    await house.until_called("durable", house.publish())
    house.store.is_full = True
    second = house.publish()
    await house.until_called("full", True)
    third = house.publish()
    tries = house.committer.stats.full
    async with asyncio.timeout(DEADLINE_S):
        while house.committer.stats.full < tries + 3:
            await asyncio.sleep(0.01)
    assert house.store.read_log(0, 100) == b"x" * 100
    house.store.is_full = False
    await house.until_called("durable", third)
    told = [what for what, _ in house.called]
    assert house.called[:2] == [("durable", 1), ("full", True)]
    assert sorted(told[2:4]) == ["durable", "full"]
    assert told.count("full") == 2
    assert house.called.index(("full", False)) < house.called.index(("durable", third))
    assert ("durable", second) in house.called
    assert house.store.ends() == (0, 300)


async def test_a_job_on_a_full_disk_begins_again(house: House) -> None:
    house.committer.start()
    house.store.errors.append(DiskFull("no room"))
    house.committer.submit([(b"k", b"v")], lambda: house.note("indexed"))
    await house.until_called("indexed")
    assert sorted(house.called, key=str) == [("full", False), ("full", True), ("indexed", None)]
    assert house.store.index_get(b"k") == b"v"


async def test_stopping_on_a_full_disk_leaves_what_cannot_be_written(house: House) -> None:
    house.committer.start()
    house.store.is_full = True
    house.publish()
    await house.until_called("full", True)
    assert not await house.committer.stop()
    assert house.called == [("full", True)]
    assert house.store.ends() == (0, 0)


@pytest.mark.parametrize(
    "error", [DiskFailed("fdatasync: Input/output error"), MemoryError("none left")]
)
async def test_a_failed_disk_ends_it_without_telling_anything_durable(
    house: House, error: Exception
) -> None:
    house.committer.start()
    await house.until_called("durable", house.publish())
    house.store.errors.append(error)
    house.publish()
    await house.until(lambda: house.called[-1][0] == "failed")
    house.publish()
    assert not await house.committer.stop()
    assert [what for what, _ in house.called] == ["durable", "failed"]
    told = house.called[-1][1]
    assert isinstance(told, SprawlError)
    assert told.code == "disk_failed"
    assert told is error or told.__cause__ is error
    assert house.store.ends() == (0, 100)


async def test_commits_are_counted(house: House) -> None:
    house.committer.start()
    await house.until_called("durable", house.publish())
    house.committer.submit((), lambda: house.note("done"))
    await house.until_called("done")
    assert await house.committer.stop()
    stats = house.committer.stats
    assert (stats.commits, stats.records, stats.log_bytes, stats.jobs) == (1, 1, 100, 1)
    assert sum(stats.seconds_log2) == 1
    (bucket,) = [index for index, count in enumerate(stats.seconds_log2) if count]
    assert (1 << bucket) > stats.sum_ns >= (1 << (bucket - 1))
