"""Calls with retries and failover over several nodes.

In: requests that may be repeated without harm. Out: an answer below 400, or the error of the last
try. Invariants: a request is tried again only after a retryable error; a node that is not reached
or not able is left for the next one at once, and waiting starts when all were tried; the deadline
of the call holds for all its tries together.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from sprawl.client.address import Address, parse_all
from sprawl.client.http import Request, Response
from sprawl.client.pool import Pool, is_hop_error
from sprawl.client.problem import error_of
from sprawl.client.retry import Retry
from sprawl.errors import Closed, SprawlError


class Caller:
    """The nodes of a client, and which of them is asked first."""

    def __init__(
        self,
        urls: str | Iterable[str],
        *,
        retry: Retry,
        answer_timeout_s: float,
        rng: random.Random,
    ) -> None:
        self.retry = retry
        self.rng: Final = rng
        self.answer_timeout_s: Final = answer_timeout_s
        self._pools = [Pool(address) for address in parse_all(urls)]
        self._at = 0
        self._is_closed = False

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every node, in the order given."""
        return tuple(pool.address for pool in self._pools)

    @property
    def pool(self) -> Pool:
        """The node that is asked first."""
        if self._is_closed:
            raise Closed("the client is closed")
        return self._pools[self._at]

    def leave(self, pool: Pool) -> None:
        """Asks another node first from now on, when ``pool`` is still the first."""
        if pool is self._pools[self._at]:
            self._at = (self._at + 1) % len(self._pools)

    async def call(
        self, request: Request, *, retry: Retry | None = None, answer_timeout_s: float | None = None
    ) -> Response:
        """The answer, pipelined with others. Raises SprawlError."""

        async def once(pool: Pool, timeout_s: float) -> Response:
            return await pool.exchange(request, timeout_s)

        return await self._repeat(once, retry, answer_timeout_s)

    async def call_alone(
        self, request: Request, *, retry: Retry | None = None, answer_timeout_s: float | None = None
    ) -> Response:
        """As ``call``, for what is answered late: on a connection of its own."""

        async def once(pool: Pool, timeout_s: float) -> Response:
            return await pool.exchange_alone(request, timeout_s)

        return await self._repeat(once, retry, answer_timeout_s)

    async def _repeat(
        self,
        once: Callable[[Pool, float], Awaitable[Response]],
        retry: Retry | None,
        answer_timeout_s: float | None,
    ) -> Response:
        retry = retry or self.retry
        answer_timeout_s = answer_timeout_s or self.answer_timeout_s
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + retry.timeout_s
        tries = 0
        while True:
            pool = self.pool
            left_s = deadline_s - loop.time()
            tries += 1
            try:
                answer = await once(pool, max(0.001, min(answer_timeout_s, left_s)))
                if answer.status >= 400:
                    raise error_of(answer)
            except SprawlError as error:
                is_hop = is_hop_error(error)
                if is_hop:
                    self.leave(pool)
                if self._is_closed or not error.retryable or tries >= retry.tries_max:
                    raise
                rounds, place = divmod(tries, len(self._pools))
                wait_s = 0.0
                if not is_hop or place == 0:
                    wait_s = retry.wait_s(max(rounds, 1), error, self.rng)
                if loop.time() + wait_s >= deadline_s:
                    raise
                await asyncio.sleep(wait_s)
            else:
                return answer

    def close(self) -> None:
        """Closes every connection; calls in progress fail."""
        self._is_closed = True
        for pool in self._pools:
            pool.close()
