"""How many partitions a topic has, remembered for a while.

In: topic names. Out: counts. Invariant: a count is at most ``PARTITIONS_AGE_S_MAX`` old; an unknown
topic is asked for again every time, since its first message may create it.
"""

import asyncio
from urllib.parse import quote

import msgspec

from sprawl.client import bounds
from sprawl.client.caller import Caller
from sprawl.client.http import Request
from sprawl.errors import BadAnswer, NotFound

_TOPICS_KEPT_MAX = 10_000


class _Details(msgspec.Struct, frozen=True):
    partitions: int | list[msgspec.Raw]


_DETAILS = msgspec.json.Decoder(_Details)


class Partitions:
    """The counts a client has seen."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._seen: dict[str, tuple[int, float]] = {}

    def known(self, topic: str) -> int | None:
        """The count, when it was asked for lately."""
        seen = self._seen.get(topic)
        if seen is None or asyncio.get_running_loop().time() > seen[1]:
            return None
        return seen[0]

    async def count(self, topic: str) -> int:
        """The count; 1 for a topic that does not exist yet. Raises SprawlError."""
        known = self.known(topic)
        if known is not None:
            return known
        try:
            response = await self._caller.call(
                Request("GET", f"/v1/topics/{quote(topic, safe='')}")
            )
        except NotFound:
            return 1
        try:
            partitions = _DETAILS.decode(response.body).partitions
        except msgspec.DecodeError as error:
            raise BadAnswer(f"details of topic {topic} not understood: {error}") from error
        count = partitions if isinstance(partitions, int) else len(partitions)
        if len(self._seen) >= _TOPICS_KEPT_MAX:
            self._seen.clear()
        until_s = asyncio.get_running_loop().time() + bounds.PARTITIONS_AGE_S_MAX
        self._seen[topic] = (max(count, 1), until_s)
        return max(count, 1)
