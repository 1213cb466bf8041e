"""Administration of topics.

In: names and settings. Out: what the node holds. Every call may be repeated without harm and is
retried as publishes are.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from sprawl.client.caller import Caller
from sprawl.client.http import Request, Response
from sprawl.errors import BadAnswer


class PartitionDetails(msgspec.Struct, frozen=True):
    """One partition: who leads it, and the offsets it holds, ``[low_offset, high_offset)``."""

    partition: int
    leader: str
    low_offset: int
    high_offset: int
    replicas: list[str] = []
    isr: list[str] = []
    epoch: int = 0


class TopicDetails(msgspec.Struct, frozen=True):
    """A topic with its configuration and partitions."""

    name: str
    partitions: list[PartitionDetails]
    topic_id: str = ""
    config: dict[str, Any] = {}
    created: str | None = None
    messages: int = 0
    bytes: int = 0


class TopicSummary(msgspec.Struct, frozen=True):
    """A topic as a list shows it."""

    name: str
    partitions: int
    topic_id: str = ""
    messages: int = 0
    bytes: int = 0
    oldest: str | None = None
    newest: str | None = None
    created: str | None = None


class _Page(msgspec.Struct, frozen=True):
    topics: list[TopicSummary]
    next_page_token: str | None = None


_DETAILS = msgspec.json.Decoder(TopicDetails)
_PAGE = msgspec.json.Decoder(_Page)


class Topics:
    """The topics of a cluster; made by ``Client.topics``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def put(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replicas: int | None = None,
        retention_age_s: int | None = None,
        retention_bytes: int | None = None,
        retention_count: int | None = None,
        ttl_s: int | None = None,
        durability: str | None = None,
        discard: Literal["old", "new"] | None = None,
        dedup_window_s: int | None = None,
        max_message_bytes: int | None = None,
    ) -> TopicDetails:
        """Creates the topic or changes what is given. Raises Conflict for what cannot be changed."""
        retention = {
            "age_s": retention_age_s,
            "bytes": retention_bytes,
            "count": retention_count,
        }
        config = {
            "partitions": partitions,
            "replicas": replicas,
            "retention": {k: v for k, v in retention.items() if v is not None} or None,
            "ttl_s": ttl_s,
            "durability": durability,
            "discard": discard,
            "dedup_window_s": dedup_window_s,
            "max_message_bytes": max_message_bytes,
        }
        body = msgspec.json.encode({k: v for k, v in config.items() if v is not None})
        headers = (("Content-Type", "application/json"),)
        return _details(await self._call(Request("PUT", _path(name), headers, body)))

    async def get(self, name: str) -> TopicDetails:
        """The topic. Raises NotFound."""
        return _details(await self._call(Request("GET", _path(name))))

    async def list(self, prefix: str = "") -> AsyncIterator[TopicSummary]:
        """Every topic whose name begins with ``prefix``, in a stable order, page by page."""
        token = ""
        while True:
            query = {k: v for k, v in (("prefix", prefix), ("page_token", token)) if v}
            target = f"/v1/topics?{urlencode(query)}" if query else "/v1/topics"
            response = await self._call(Request("GET", target))
            try:
                page = _PAGE.decode(response.body)
            except msgspec.DecodeError as error:
                raise BadAnswer(f"list of topics not understood: {error}") from error
            for topic in page.topics:
                yield topic
            if not page.next_page_token:
                return
            token = page.next_page_token

    async def delete(self, name: str) -> None:
        """Deletes the topic; ``undelete`` brings it back for a while. Raises NotFound."""
        await self._call(Request("DELETE", _path(name)))

    async def undelete(self, name: str) -> TopicDetails:
        """Brings a deleted topic back. Raises NotFound once its time is over."""
        return _details(await self._call(Request("POST", f"{_path(name)}:undelete")))

    async def _call(self, request: Request) -> Response:
        return await self._caller.call_alone(request)


def _path(name: str) -> str:
    return f"/v1/topics/{quote(name, safe='')}"


def _details(response: Response) -> TopicDetails:
    try:
        return _DETAILS.decode(response.body)
    except msgspec.DecodeError as error:
        raise BadAnswer(f"details of a topic not understood: {error}") from error
