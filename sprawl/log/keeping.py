"""What becomes of the log on disk as time passes: low offsets, dropped windows, the bound.

In: an engine that knows low offsets, the windows, the committer. Out: states that outlive a crash,
windows that are gone, and who is refused. Invariants: a window is cut away only after what must
outlive it is synced; what is dropped for want of room is of topics that discard the oldest, and
counted; nothing here blocks the loop. ``step`` is called once a second. Source: docs/design/disk.md.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from sprawl.limits import (
    DISK_REFUSE_PERCENT,
    DISK_WARN_PERCENT,
    LOWS_TAKEN_MAX,
    MAP_GROW_PERCENT,
    RETIRE_PARTITIONS_MAX,
)
from sprawl.log.committer import Committer
from sprawl.log.lasting import low_states, states_of_topic, states_of_window
from sprawl.log.retention import Cleaner, ColdSpan, Overdue, retire, retire_cold
from sprawl.log.retention import Engine as Knowing
from sprawl.log.store import LogStore
from sprawl.log.windows import Window, Windows

_log: Final = logging.getLogger("sprawl.log")
T = TypeVar("T")


class Engine(Knowing, Protocol):
    """What keeping needs of the engine."""

    def take_lows(self, count_max: int) -> Sequence[tuple[int, int, int]]:
        """Low offsets that rose since they were last taken."""

    def take_forgotten(self) -> Sequence[int]:
        """Ids of topics that were forgotten since the last call."""

    def overdue(self, count_max: int) -> Sequence[Overdue]:
        """Partitions of which retention no longer covers the oldest on disk."""

    def retired(
        self, place: tuple[int, int], low: int, records: int, size: int, oldest_ns: int
    ) -> None:
        """Raises a low offset over what lies on disk alone."""

    def discard_value(self, value: bytes, oldest_ns: int) -> None:
        """Raises low offsets over all batches of an index value, for want of room."""

    def cold_value(self, value: bytes, oldest_ns: int) -> None:
        """Counts all batches of an index value in the cloud from now on."""

    def retired_cold(
        self, place: tuple[int, int], low: int, records: int, size: int, oldest_ns: int
    ) -> None:
        """Raises a low offset over what lies in the cloud alone."""

    def is_known(self, topic_id: int) -> bool:
        """Whether a topic is not forgotten."""

    def set_refuses(self, refuses: str) -> None:
        """Whose publishes the bound refuses: ``none``, ``new`` or ``all``."""

    def age_out(self, before_ns: int) -> None:
        """Lets go of chunks in which everything was appended before a time."""


class Run(Protocol):
    """Runs a function on a pool thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Its result."""


class Keeping:
    """Retention, cleaning and the bound of one log."""

    def __init__(
        self,
        store: LogStore,
        windows: Windows,
        engine: Engine,
        committer: Committer,
        *,
        run: Run,
        seal: Callable[[], None],
        now_ns: Callable[[], int],
        bytes_max: int,
        cold_ranges: Callable[[int, int, int], Sequence[ColdSpan]] | None,
    ) -> None:
        self.used_bytes = store.used_bytes()
        self.dropped_windows = 0
        self.state = "ok"
        self._store = store
        self._windows = windows
        self._engine = engine
        self._committer = committer
        self._run = run
        self._seal = seal
        self._now_ns = now_ns
        self._bytes_max = bytes_max
        self._cold_ranges = cold_ranges
        self._cleaner = Cleaner(store, windows, engine, now_ns)
        self._is_stepping = asyncio.Lock()

    @property
    def bytes_max(self) -> int:
        """The bound: the one that was set, else what the map can hold."""
        return self._bytes_max or self._store.map_bytes

    async def step(self) -> int:
        """One round; gives how many windows it dropped."""
        async with self._is_stepping:
            dropped = self.dropped_windows
            await self.write_lows()
            await self._forget()
            await self._retire()
            while (window := await self._run(self._cleaner.can_drop)) is not None:
                await self._drop(window, self._engine.discard_value)
            await self._hold_bound()
            return self.dropped_windows - dropped

    async def hand_over(self, window: Window) -> None:
        """Lets the oldest window go to the cloud, which has it; nothing when it is gone already."""
        async with self._is_stepping:
            if self._windows.all[:1] == (window,):
                await self._drop(window, self._engine.cold_value)

    async def put_states(
        self, states: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()
    ) -> None:
        """Puts named states, deletes others; synced on return."""
        done = asyncio.get_running_loop().create_future()
        self._committer.submit((), lambda: _resolve(done), state=states, state_deletes=deletes)
        await done

    async def write_lows(self) -> None:
        """Makes the low offsets durable."""
        while lows := self._engine.take_lows(LOWS_TAKEN_MAX):
            if states := low_states(lows):
                await self.put_states(states)

    async def _forget(self) -> None:
        for topic_id in self._engine.take_forgotten():
            names = await self._run(lambda: states_of_topic(self._store, topic_id))  # noqa: B023
            await self.put_states({}, names)

    async def _retire(self) -> None:
        for due in self._engine.overdue(RETIRE_PARTITIONS_MAX):
            place, cold_end = due[0], due[-1]
            if cold_end and self._cold_ranges is not None:
                spans = await self._run(partial(self._cold_ranges, *place, due[1]))
                self._engine.retired_cold(*retire_cold(spans, due))
            else:
                self._engine.retired(*await self._run(partial(retire, self._windows, due)))
        await self.write_lows()

    async def _drop(self, window: Window, count: Callable[[bytes, int], None]) -> None:
        """Cuts the oldest window away once what must outlive it is on disk.

        ``count`` takes each of its index values, and the time of the oldest that stays.
        """
        later = self._windows.all[1:]
        oldest_ns = later[0].oldest_ns if later else window.newest_ns
        for value in await self._run(lambda: self._cleaner.values(window)):
            count(value, oldest_ns)
            # Publishes go on between two values of up to 1,500 batches each.
            await asyncio.sleep(0)
        await self.write_lows()
        parts = await self._run(
            lambda: list(states_of_window(self._store, window, self._engine.is_known))
        )
        for states in parts:
            await self.put_states(states)
        self._windows.drop_oldest()
        done = asyncio.get_running_loop().create_future()
        self._committer.drop_window(window.first_lsn, window.end_lsn, lambda: _resolve(done))
        await done
        self.dropped_windows += 1
        _log.debug("window dropped", extra={"lsn": window.first_lsn, "end_lsn": window.end_lsn})

    async def _hold_bound(self) -> None:
        """Warns at 80 % of the bound; at 95 % drops what may go, and refuses what finds no room."""
        percent = await self._percent()
        if not self._bytes_max and percent >= MAP_GROW_PERCENT:
            done = asyncio.get_running_loop().create_future()
            self._committer.do(self._store.grow_map, lambda: _resolve(done))
            await done
            percent = await self._percent()
        can_discard = False
        while percent >= DISK_REFUSE_PERCENT and await self._discard():
            can_discard = True
            percent = await self._percent()
        if percent >= DISK_REFUSE_PERCENT:
            self._enter("refusing", percent)
            self._engine.set_refuses("new" if can_discard else "all")
            return
        self._enter("warning" if percent >= DISK_WARN_PERCENT else "ok", percent)
        self._engine.set_refuses("none")

    async def _discard(self) -> bool:
        """Drops the oldest window when its topics let the oldest go."""
        # Only what memory has let go of can be dropped; where this seals one, the next round sees.
        self._seal()
        self._engine.age_out(self._now_ns())
        if not self._windows.all:
            return False
        window = self._windows.all[0]
        if not await self._run(lambda: self._cleaner.may_discard(window)):
            return False
        _log.warning(
            "the disk tier is full: the oldest %d messages are dropped",
            window.records,
            extra={"lsn": window.first_lsn, "bytes": window.end_lsn - window.first_lsn},
        )
        await self._drop(window, self._engine.discard_value)
        return True

    async def _percent(self) -> float:
        self.used_bytes = await self._run(self._store.used_bytes)
        return 100 * self.used_bytes / self.bytes_max

    def _enter(self, state: str, percent: float) -> None:
        if state == self.state:
            return
        was, self.state = self.state, state
        if state == "refusing":
            _log.error(
                "the disk tier is at %.0f %% of %d bytes: publishes are refused with 507, "
                "reads go on",
                percent,
                self.bytes_max,
            )
        elif state == "warning" and was == "ok":
            _log.warning("the disk tier is at %.0f %% of %d bytes", percent, self.bytes_max)
        elif was == "refusing":
            _log.warning("the disk tier has room again: publishes go on")


def _resolve(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
