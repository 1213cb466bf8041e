"""The scrubber over a real log: bits that flipped are found, and an index is built again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import lmdb
import pytest

from sprawl._native import all_entries, build_window
from sprawl.clock import SystemClock
from sprawl.errors import SprawlError
from sprawl.log.committer import Commit, Committer
from sprawl.log.journal import Buffer
from sprawl.log.scrub import Scrubber
from sprawl.log.store import LogStore
from sprawl.log.windows import Window, Windows, window_of
from tests.models.disk import piece
from tests.models.log import TOPIC, envelopes

T = TypeVar("T")
FAST = 1e12


class NoSource:
    """Nothing to commit."""

    def put(self, first_lsn: int, parts: Sequence[Buffer]) -> None:
        raise AssertionError("nothing is committed")

    def settle(self) -> None:
        pass

    def take_commit(self, bytes_max: int) -> Commit | None:
        return None


def _fail(error: SprawlError) -> None:
    raise AssertionError(f"the disk failed: {error}")


def _made(directory: Path, whole: list[bytes]) -> Window:
    """A log of one window; its pieces are one envelope each."""
    with LogStore(directory, disk_bytes_max=0, is_new=True, clock=SystemClock()) as store:
        lsn = 0
        for data in whole:
            store.put_commit([piece(lsn, data)])
            lsn += len(data)
        header, items = build_window(0, whole, True)
        store.put_commit((), items)
    return window_of(header)


def _overwrite(directory: Path, db: bytes, key: bytes, value: bytes) -> None:
    with lmdb.open(str(directory / "log"), max_dbs=3, map_size=1 << 30) as environment:
        opened = environment.open_db(db)
        with environment.begin(write=True) as txn:
            txn.put(key, value, db=opened)


async def _scrubbed(
    directory: Path, window: Window, look: Callable[[Scrubber, LogStore], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()

    def run(work: Callable[[], T]) -> "asyncio.Future[T]":
        return loop.run_in_executor(None, work)

    with LogStore(directory, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        windows = Windows(store)
        windows.append(window)
        source = NoSource()
        committer = Committer(
            store,
            source,
            source,
            clock=SystemClock(),
            on_durable=lambda *_: None,
            on_full=lambda _: None,
            on_failed=_fail,
        )
        committer.start()
        scrubber = Scrubber(store, windows, committer, run=run)
        try:
            async with asyncio.timeout(20):
                await look(scrubber, store)
        finally:
            assert await committer.stop()


async def test_a_sound_log_is_read_whole_and_nothing_is_said(tmp_path: Path) -> None:
    whole = envelopes(20)
    window = _made(tmp_path, whole)

    async def look(scrubber: Scrubber, _: LogStore) -> None:
        await scrubber.round(FAST)
        assert scrubber.bytes >= sum(map(len, whole))
        assert (scrubber.damaged, scrubber.damaged_count, scrubber.rebuilt_count) == ([], 0, 0)

    await _scrubbed(tmp_path, window, look)


async def test_a_flipped_bit_is_reported_once_with_its_offsets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = envelopes(20)
    window = _made(tmp_path, whole)
    bad = bytearray(whole[7])
    bad[-5] ^= 0x10
    key, value = piece(sum(map(len, whole[:7])), bytes(bad))
    _overwrite(tmp_path, b"log", key, value)

    async def look(scrubber: Scrubber, _: LogStore) -> None:
        for _round in range(2):
            await scrubber.round(FAST)
            (found,) = scrubber.damaged
            assert (found.topic_id, found.partition) == (TOPIC, 0)
            assert (found.first, found.end) == (14, 16)
            assert (scrubber.damaged_count, scrubber.rebuilt_count) == (1, 0)
        assert caplog.text.count("offsets 14 to 16 cannot be read") == 1

    await _scrubbed(tmp_path, window, look)


@pytest.mark.parametrize("section", [0, 1, 2, 3])
async def test_a_damaged_index_is_built_again_from_the_log(tmp_path: Path, section: int) -> None:
    window = _made(tmp_path, envelopes(20))
    prefix = (0).to_bytes(8, "big") + bytes([section])
    with LogStore(tmp_path, disk_bytes_max=0, is_new=False, clock=SystemClock()) as store:
        before = dict(store.index_iter())
        key, value = next(store.index_iter(prefix))
    _overwrite(tmp_path, b"index", key, value[:-1] + bytes([value[-1] ^ 1]))

    async def look(scrubber: Scrubber, store: LogStore) -> None:
        await scrubber.round(FAST)
        assert (scrubber.rebuilt_count, scrubber.damaged_count) == (1, 0)
        assert dict(store.index_iter()) == before
        (entries,) = [all_entries(v) for k, v in before.items() if k[8] == 1]
        assert len(entries) == 20
        await scrubber.round(FAST)
        assert scrubber.rebuilt_count == 1

    await _scrubbed(tmp_path, window, look)
