"""``sprawlctl publish``: the original's publisher, with its texts and retries.

In: topic, payload, counts. Out: one ``ID:`` line per message, a last line with the counts; exit 0
only if every message was stored. Invariant: a message keeps its id through every retry and node, so
it is stored once.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from sprawl.cli.ctl import exits, output
from sprawl.cli.ctl.options import Duration, nodes_option, output_option, topic_option
from sprawl.cli.ctl.run import run
from sprawl.client.address import parse
from sprawl.client.http import Request
from sprawl.client.pool import Pool
from sprawl.client.problem import error_of
from sprawl.errors import BadAnswer, ConnectionFailed, SprawlError, Timeout

RETRIES_MAX: Final = 5
BACKOFF_S: Final = 0.1
BACKOFF_S_MAX: Final = 10.0
ANSWER_TIMEOUT_S: Final = 20.0

_WORST_FIRST: Final = (exits.NOT_ALLOWED, exits.NOT_FOUND, exits.TIMED_OUT, exits.FAILED)


@click.command()
@nodes_option
@topic_option("test")
@click.option("-p", "--payload", "-m", "--message", "payload", default="test message")
@click.option("-c", "--count", type=click.IntRange(1), default=1, help="Messages of each sender.")
@click.option("-P", "--parallel", type=click.IntRange(1, 1000), default=1, help="Senders.")
@click.option("-i", "--interval", type=Duration(), default=0.0, help="Pause of a sender.")
@click.option("-w", "--wait/--no-wait", default=True, help="Wait until the message is stored.")
@click.option("--ttl", type=click.IntRange(0), default=None, help="Lifetime in seconds.")
@output_option
def publish(
    nodes: tuple[str, ...],
    topic: str,
    payload: str,
    count: int,
    parallel: int,
    interval: float,
    wait: bool,
    ttl: int | None,
    output: str,
) -> None:
    """Publish messages to a topic, round robin over the nodes."""
    body: dict[str, object] = {"topic": topic}
    if ttl is not None:
        body["ttl"] = ttl
    job = _Job(nodes, body, payload, count, parallel, interval, wait=wait, output_form=output)
    run(job.run())


class _Job:
    def __init__(
        self,
        nodes: Sequence[str],
        body: dict[str, object],
        payload: str,
        count: int,
        parallel: int,
        interval_s: float,
        *,
        wait: bool,
        output_form: str,
    ) -> None:
        self._nodes = nodes
        self._body = body
        self._payload = payload
        self._count = count
        self._parallel = parallel
        self._interval_s = interval_s
        headers = [("Content-Type", "application/json")]
        if not wait:
            headers.append(("Prefer", "respond-async"))
        self._headers = tuple(headers)
        self._form = output_form
        self._answers: list[dict[str, object]] = []
        self._published_count = 0
        self._failures_count = 0
        self._statuses: set[int] = set()
        self._pools: list[Pool] = []

    async def run(self) -> int:
        """Sends everything; the exit status."""
        self._pools = [Pool(parse(url)) for url in self._nodes]
        try:
            async with asyncio.TaskGroup() as group:
                for sender in range(self._parallel):
                    group.create_task(self._send_some(sender))
        finally:
            for pool in self._pools:
                pool.close()
        counts = f"Published {self._published_count} messages ({self._failures_count} failures)"
        if self._form == "json":
            summary = {"published": self._published_count, "failures": self._failures_count}
            output.line(output.encoded(summary | {"messages": self._answers}))
        elif self._form == "table":
            output.line(counts)
        return next((status for status in _WORST_FIRST if status in self._statuses), exits.OK)

    async def _send_some(self, sender: int) -> None:
        for n in range(self._count):
            if n and self._interval_s:
                await asyncio.sleep(self._interval_s)
            await self._send(sender * self._count + n)

    async def _send(self, index: int) -> None:
        """One message: its node first, then the others."""
        payload = self._payload
        if self._count * self._parallel > 1:
            payload += f"-{index}"
        body = msgspec.json.encode(self._body | {"payload": payload, "id": str(uuid.uuid4())})
        request = Request("POST", "/publish", self._headers, body)
        for turn in range(len(self._pools)):
            pool = self._pools[(index + turn) % len(self._pools)]
            try:
                answer = await self._try(pool, request)
            except SprawlError as error:
                output.line_or_complaint(
                    f"Error: failed to publish to {pool.address.url}: {error.detail}", self._form
                )
                last = error
                if not _is_passing(error):
                    break
            else:
                self._published_count += 1
                self._show(answer)
                return
        self._failures_count += 1
        self._statuses.add(exits.status_of(last))

    def _show(self, answer: dict[str, object]) -> None:
        if self._form == "table":
            output.line(f"ID: {answer.get('id')}")
        elif self._form == "ndjson":
            output.line(output.encoded(answer))
        elif self._form == "raw":
            output.line(str(answer.get("id")))
        else:
            self._answers.append(answer)

    async def _try(self, pool: Pool, request: Request) -> dict[str, object]:
        """One node, with the original's retries. Raises the error of the last try."""
        for retry in range(RETRIES_MAX + 1):
            try:
                return await _ask(pool, request)
            except SprawlError as error:
                if retry == RETRIES_MAX or not _is_passing(error):
                    raise
                is_slow = isinstance(error, Timeout)
                wait_s = min(BACKOFF_S * 2**retry, BACKOFF_S_MAX) * (2 if is_slow else 1)
                if error.retry_after_s is not None:
                    wait_s = float(error.retry_after_s)
                output.complain(_notice(error, wait_s, retry + 1))
                await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the last retry returns or raises")


async def _ask(pool: Pool, request: Request) -> dict[str, object]:
    response = await pool.exchange(request, ANSWER_TIMEOUT_S)
    if response.status >= 400:
        raise error_of(response)
    try:
        return msgspec.json.decode(response.body, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise BadAnswer(f"{pool.address.url} answered no JSON: {error}") from error


def _is_passing(error: SprawlError) -> bool:
    """Connection errors, 429, 503; 408 and 504."""
    return isinstance(error, ConnectionFailed | Timeout) or error.status in {429, 503}


def _notice(error: SprawlError, wait_s: float, retry: int) -> str:
    pause = f"{wait_s * 1000:g}ms" if wait_s < 1 else f"{wait_s:g}s"
    place = f"retrying in {pause}... ({retry}/{RETRIES_MAX})"
    if isinstance(error, ConnectionFailed):
        return f"Connection error, {place}: {error.detail}"
    if isinstance(error, Timeout):
        return (
            f"Request timed out, retrying with longer timeout in {pause}... ({retry}/{RETRIES_MAX})"
        )
    return f"Server busy, {place}"
