"""How many connections are open, and from where.

In: an address as each connection opens and closes. Out: whether it is admitted. Invariants: at most
``CONNECTIONS_MAX`` in all and ``CONNECTIONS_PER_ADDRESS_MAX`` of one address; a connection above
gets ``REFUSAL`` and is closed; one entry is held per address that has connections, none otherwise.
"""

import asyncio
from typing import Final

import orjson

from sprawl.errors import Unavailable
from sprawl.limits import CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX


def _refusal() -> bytes:
    error = Unavailable("too many connections; close some first", code="busy", retry_after_s=1)
    body = orjson.dumps(error.problem) + b"\n"
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
        b"Retry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


REFUSAL: Final = _refusal()
"""The whole answer to a connection that is not admitted."""


class ConnectionCaps:
    """The count of open connections of one port."""

    refusal: Final = REFUSAL

    def __init__(
        self,
        connections_max: int = CONNECTIONS_MAX,
        per_address_max: int = CONNECTIONS_PER_ADDRESS_MAX,
    ) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._by_address: dict[str, int] = {}
        self._count = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        """Open connections."""
        return self._count

    def admit(self, address: str) -> bool:
        """Counts a connection in; False at a bound, and then nothing was counted."""
        held = self._by_address.get(address, 0)
        if self._count >= self._connections_max or held >= self._per_address_max:
            return False
        self._by_address[address] = held + 1
        self._count += 1
        self._empty.clear()
        return True

    def release(self, address: str) -> None:
        """Counts an admitted connection out."""
        held = self._by_address[address] - 1
        assert held >= 0
        assert self._count > 0
        if held:
            self._by_address[address] = held
        else:
            del self._by_address[address]
        self._count -= 1
        if not self._count:
            self._empty.set()

    async def until_empty(self) -> None:
        """Returns once no connection is open."""
        await self._empty.wait()
