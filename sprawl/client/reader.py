"""Reading a topic: pages in order, a cursor that survives connections and nodes.

In: where to begin. Out: messages. Invariants: ``cursor`` never runs ahead of what was handed out;
an error in between costs nothing, the next page begins where the last one ended; messages that
retention took before they were read are never skipped silently (``offset_expired``), nor are those
that a node has lost (``log_damaged``).
One partition is read as stored batches, several (or a pattern) as JSON.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Final, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode

import msgspec

from sprawl.client import bounds
from sprawl.client.caller import Caller
from sprawl.client.codec import cursor_decode, cursor_encode, decode_batches, topic_id_text
from sprawl.client.http import Request, Response
from sprawl.client.message import Message, page_of
from sprawl.client.partitions import Partitions
from sprawl.errors import BadAnswer, Expired, LogDamaged, SprawlError

OnGap = Literal["raise", "skip"]

_BATCH: Final = "application/x-sprawl-batch"
_IN_DETAIL: Final = re.compile(r"cursor:([A-Za-z0-9_-]+)")


class _Page(NamedTuple):
    messages: list[Message]
    cursor: str
    is_up_to_date: bool
    gaps: list[str]


class Reader:
    """Messages of a topic or pattern: ``async for message in reader``; made by ``Client.read``.

    ``cursor`` is where to go on after the last message handed out: give it to ``from_`` as
    ``cursor:…``, at any node, at any time. ``gaps_count`` counts gaps passed over.
    """

    def __init__(
        self,
        caller: Caller,
        partitions: Partitions,
        topic: str,
        *,
        from_: str,
        partition: int | None,
        follow: bool,
        limit: int | None,
        key: str | None,
        headers: Mapping[str, str] | None,
        on_gap: OnGap,
    ) -> None:
        self.gaps_count = 0
        self._caller = caller
        self._partitions = partitions
        self._topic = topic
        self._target = f"/v1/topics/{quote(topic, safe='')}/messages?"
        self._partition = partition
        self._from = from_
        self._is_following = follow
        self._left = limit
        self._on_gap = on_gap
        self._filters: dict[str, str] = {}
        if key is not None:
            self._filters["key"] = key
        for name, value in (headers or {}).items():
            self._filters[f"header.{name}"] = value
        self._retry = caller.retry
        if follow:
            self._retry = replace(
                caller.retry, tries_max=1_000_000, timeout_s=bounds.RECONNECT_S_MAX
            )
        self._is_binary: bool | None = None
        self._is_placed = False
        self._is_ended = limit == 0
        self._page: list[Message] = []
        self._at = 0
        self._cursor = from_[7:] if from_.startswith("cursor:") else ""
        self._fetching: asyncio.Task[_Page] | None = None

    @property
    def cursor(self) -> str:
        """Where to go on after the last message handed out; empty before the first page."""
        left = self._page[self._at :]
        if not left:
            return self._cursor
        first: dict[tuple[str, int], int] = {}
        for message in left:
            first.setdefault((message.topic_id, message.partition), message.offset)
        return cursor_encode(
            [
                (topic_id, partition, epoch, first.get((topic_id_text(topic_id), partition), next_))
                for topic_id, partition, epoch, next_ in cursor_decode(self._cursor)
            ]
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while self._at >= len(self._page):
            await self._turn_page()
        message = self._page[self._at]
        self._at += 1
        return message

    def taken(self) -> Message | None:
        """The next message when it has been read already, None when that takes a request."""
        if self._at >= len(self._page):
            return None
        self._at += 1
        return self._page[self._at - 1]

    async def start(self) -> None:
        """Finds the place to begin: after return, nothing published later is missed.

        Without it the first message asked for does this. Raises SprawlError.
        """
        if not self._is_placed and not self._is_ended:
            await self._turn_page()

    async def pages(self) -> AsyncIterator[list[Message]]:
        """The same messages a list at a time, as they came: for those who count microseconds."""
        while True:
            if self._at >= len(self._page):
                try:
                    await self._turn_page()
                except StopAsyncIteration:
                    return
            page, self._at = self._page[self._at :], len(self._page)
            if page:
                yield page

    async def aclose(self) -> None:
        """Ends the reading; the request in progress is given up."""
        self._is_ended = True
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # --- pages ---

    async def _turn_page(self) -> None:
        """Makes the next page the current one. Raises SprawlError, StopAsyncIteration."""
        if self._is_ended:
            raise StopAsyncIteration
        if self._fetching is None:
            self._fetch_next()
        assert self._fetching is not None
        task, self._fetching = self._fetching, None
        page = await task
        self._page, self._at, self._cursor = page.messages, 0, page.cursor
        if self._left is not None:
            self._page = page.messages[: self._left]
            self._left -= len(self._page)
        is_at_end = page.is_up_to_date and not self._is_following
        self._is_ended = is_at_end or self._left == 0
        self._is_placed = True
        if not self._is_ended:
            self._fetch_next()

    def _fetch_next(self) -> None:
        """Asks for the page after the current one while that one is worked on."""
        self._fetching = asyncio.get_running_loop().create_task(
            self._fetch(), name=f"read of {self._topic}"
        )

    async def _fetch(self) -> _Page:
        if self._is_binary is None:
            self._is_binary = await self._has_one_partition()
        try:
            page = await self._ask(f"cursor:{self._cursor}" if self._cursor else self._from)
        except Expired as error:
            cursor = _cursor_after_gap(error)
            if self._on_gap == "raise" or not cursor:
                raise
            self.gaps_count += 1
            return _Page([], cursor, is_up_to_date=False, gaps=[])
        if page.gaps and self._on_gap == "raise":
            gaps = ", ".join(page.gaps)
            raise LogDamaged(
                f"messages of {self._topic} are lost: {gaps}; on_gap='skip' goes on",
                members={"cursor": page.cursor},
            )
        self.gaps_count += len(page.gaps)
        return page

    async def _has_one_partition(self) -> bool:
        if any(sign in self._topic for sign in "*>"):
            return False
        if self._partition is not None:
            return True
        return await self._partitions.count(self._topic) == 1

    async def _ask(self, from_: str) -> _Page:
        """One request. The first does not wait, so that its cursor is kept before anything else."""
        wait_s = bounds.FOLLOW_WAIT_S if self._is_following and self._is_placed else 0
        limit = bounds.PAGE_MESSAGES_MAX
        if self._left is not None:
            limit = min(limit, self._left)
        query = {
            "from": from_,
            "limit": limit,
            "max_bytes": bounds.PAGE_BYTES,
            "wait": f"{wait_s:g}",
        }
        if self._partition is not None:
            query["partition"] = self._partition
        accept = _BATCH if self._is_binary else "application/json"
        request = Request(
            "GET",
            self._target + urlencode(query | self._filters, safe=":"),
            (("Accept", accept),),
        )
        response = await self._caller.call_alone(
            request, retry=self._retry, answer_timeout_s=wait_s + self._caller.answer_timeout_s
        )
        try:
            return self._binary(response, from_) if self._is_binary else self._json(response)
        except (msgspec.DecodeError, ValueError, KeyError, IndexError) as error:
            raise BadAnswer(f"page of {self._topic} not understood: {error}") from error

    def _json(self, response: Response) -> _Page:
        return _Page(*page_of(response.body, self._topic))

    def _binary(self, response: Response, from_: str) -> _Page:
        """Stored batches whole: what lies before the place asked for is left out."""
        cursor = response.headers["sprawl-cursor"]
        is_up_to_date = response.headers.get("sprawl-up-to-date") == "true"
        entry = cursor_decode(cursor)[0]
        topic, topic_id, partition = self._topic, topic_id_text(entry[0]), entry[1]
        start = _start_of(from_)
        messages = [
            Message(
                topic,
                topic_id,
                partition,
                offset,
                time_ms,
                key,
                value or b"",
                headers,
                ttl,
                name,
                kind,
            )
            for offset, time_ms, key, value, headers, ttl, name, kind in decode_batches(
                response.body
            )
            if offset >= start
        ]
        gaps = response.headers.get("sprawl-gap")
        return _Page(messages, cursor, is_up_to_date, gaps.split(", ") if gaps else [])


def _start_of(from_: str) -> int:
    """The first offset asked for, 0 where only the node knows."""
    if from_.startswith("cursor:"):
        return cursor_decode(from_[7:])[0][3]
    return int(from_[7:]) if from_.startswith("offset:") else 0


def _cursor_after_gap(error: SprawlError) -> str:
    """The cursor that a node gives with 410: a member, or told in the detail."""
    member = error.members.get("cursor")
    if isinstance(member, str):
        return member
    told = _IN_DETAIL.search(error.detail)
    return told[1] if told else ""
