"""The asyncio protocol of the edge; see ``sprawl.edge.seam`` for what it keeps to."""

import asyncio
from collections.abc import Callable

from typing_extensions import disjoint_base

from sprawl._native import Page
from sprawl.edge.caps import ConnectionCaps
from sprawl.edge.seam import Host, UpgradeHandler
from sprawl.log.reads import Want

@disjoint_base
class NodeTime:
    """The one clock of a node: monotone, slewed to the wall clock by at most 500 ppm."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch; never goes back."""

@disjoint_base
class Histogram:
    """Durations in powers of two of a nanosecond."""

    def snapshot(self) -> tuple[list[int], int]:
        """Counts by entry and the sum of all durations in ns."""

@disjoint_base
class Watch:
    """One reader that is told of new data."""

@disjoint_base
class Listener:
    """All connections of one port."""

    deliver_time: Histogram
    receive_time: Histogram
    tick_time: Histogram
    def __init__(
        self,
        engine: object,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        *,
        caps: ConnectionCaps,
        is_hot: bool,
        time: NodeTime,
    ) -> None: ...
    @property
    def factory(self) -> Callable[[], asyncio.BaseProtocol]:
        """Makes a protocol for a new connection."""

    @property
    def connections_count(self) -> int:
        """Open connections of this port."""

    def abort(self) -> None:
        """Closes every connection now."""

    def drain(self) -> None:
        """Closes idle connections now, others after their open answer."""

    def fetch(self, reader: object, callback: Callable[[bool], None]) -> bool:
        """Reads from disk what the reader wants, then calls back whether it was fed.

        False when it wants nothing: nothing is called then.
        """

    def histograms(self) -> dict[str, tuple[list[int], int]]:
        """Time spent per stage: name to counts and sum in ns."""

    def read_page(self, want: Want, done: Callable[[Page | None], None]) -> None:
        """Reads a page from disk and calls ``done`` with it, None when it cannot be read."""

    def synced(self, end_lsn: int, mark: int) -> None:
        """Everything up to ``mark`` is on disk: answers that waited leave, readers are woken."""

    def tick(self) -> None:
        """Does what is due by time alone."""

    def unwatch(self, reader: object) -> None:
        """Ends the calls for a reader."""

    def use_disk(
        self,
        wake_committer: Callable[[], None],
        read_disk: Callable[[Want, Callable[[Page | None], None]], None],
    ) -> None:
        """Connects the disk tier: who is woken when a tick left something, who reads pages."""

    def watch(self, reader: object, callback: Callable[[], None]) -> None:
        """Calls back once per tick in which the reader has new data."""

    def when_synced(self, mark: int, callback: Callable[[], None]) -> None:
        """Calls back once ``mark`` is on disk, in the order of the calls."""

@disjoint_base
class Protocol:
    """One connection."""

    @property
    def is_closing(self) -> bool: ...
    @property
    def peer(self) -> tuple[str, int]: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    async def drained(self) -> None: ...
    def finish(self, close: bool) -> None: ...
    def take_over(self, handler: UpgradeHandler) -> None: ...
    def write(self, data: bytes) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
