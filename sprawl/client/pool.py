"""The connections to one node.

In: requests. Out: answers, streams, connections lent to one user. Invariants: publishes share at
most ``SHARED_CONNECTIONS_MAX`` connections by pipelining; what may be answered late (long polls,
a producer) never stands in front of them, because it has a connection of its own.
"""

import asyncio
from collections import deque
from typing import Final

from sprawl.client import bounds
from sprawl.client.address import Address
from sprawl.client.http import Connection, Request, Response, connect
from sprawl.errors import BadAnswer, Closed, SprawlError, Timeout


class Pool:
    """Connections to ``address``, opened when needed."""

    def __init__(self, address: Address) -> None:
        self.address: Final = address
        self._shared: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._lent: set[Connection] = set()
        self._places = asyncio.Semaphore(bounds.SHARED_CONNECTIONS_MAX * bounds.PIPELINED_MAX)
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def exchange(self, request: Request, timeout_s: float) -> Response:
        """The answer to ``request``, pipelined behind others.

        Raises ConnectionFailed, Timeout (outcome unknown), BadAnswer.
        """
        async with _deadline(self.address, timeout_s) as used, self._places:
            connection = await self._least_loaded()
            used.append(connection)
            return await connection.send(request)

    async def exchange_alone(self, request: Request, timeout_s: float) -> Response:
        """As ``exchange``, on a connection that nobody else uses meanwhile."""
        connection = await self.lend()
        try:
            async with _deadline(self.address, timeout_s) as used:
                used.append(connection)
                return await connection.send(request)
        except asyncio.CancelledError:
            connection.close()  # its late answer must not meet the next request
            raise
        finally:
            self.give_back(connection)

    async def lend(self) -> Connection:
        """A connection of one's own until ``give_back``. Raises ConnectionFailed, Closed."""
        self._check_open()
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now_s - connection.idle_since_s < bounds.IDLE_S_MAX:
                break
            connection.close()
        else:
            connection = await connect(self.address)
            connection.idle_since_s = now_s
        self._lent.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Takes a lent connection back; it is kept when it is whole and there is room."""
        self._lent.discard(connection)
        is_whole = connection.is_open and not connection.pending_count
        if is_whole and not self._is_closed and len(self._idle) < bounds.IDLE_CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes every connection; what is unanswered fails with ``connection_lost``."""
        self._is_closed = True
        for connection in [*self._shared, *self._idle, *self._lent]:
            connection.close()
        self._shared.clear()
        self._idle.clear()
        self._lent.clear()

    async def _least_loaded(self) -> Connection:
        """A shared connection; opens one more while all have something to do."""
        while True:
            self._check_open()
            now_s = asyncio.get_running_loop().time()
            self._drop_stale(now_s)
            best = min(self._shared, key=_load, default=None)
            is_full = len(self._shared) >= bounds.SHARED_CONNECTIONS_MAX
            is_opening = self._opening.locked()
            if best is not None and (is_full or is_opening or not best.pending_count):
                await best.writable()
                return best
            async with self._opening:
                if len(self._shared) < bounds.SHARED_CONNECTIONS_MAX:
                    opened = await connect(self.address)
                    opened.idle_since_s = now_s
                    self._shared.append(opened)

    def _drop_stale(self, now_s: float) -> None:
        if all(_is_fresh(connection, now_s) for connection in self._shared):
            return
        for stale in [c for c in self._shared if not _is_fresh(c, now_s)]:
            self._shared.remove(stale)
            stale.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Closed(f"the client of {self.address.url} is closed")


def _load(connection: Connection) -> int:
    return connection.pending_count


def _is_fresh(connection: Connection, now_s: float) -> bool:
    is_idle = not connection.pending_count
    return connection.is_open and not (
        is_idle and now_s - connection.idle_since_s > bounds.IDLE_S_MAX
    )


class _deadline:  # noqa: N801 - reads as a statement
    """``async with``: at the deadline the connection used is closed and Timeout raised."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._scope = asyncio.timeout(timeout_s)
        self._used: list[Connection] = []

    async def __aenter__(self) -> list[Connection]:
        await self._scope.__aenter__()
        return self._used

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self._scope.__aexit__(*raised)  # type: ignore[arg-type]
        except TimeoutError as error:
            for connection in self._used:
                connection.close()
            raise Timeout(
                f"no answer from {self._address.url} within {self._timeout_s:g} s"
            ) from error


def is_hop_error(error: SprawlError) -> bool:
    """Whether another node may do better right now: this one is not reached or not able."""
    return isinstance(error, BadAnswer) or error.status in {0, 503, 504}
