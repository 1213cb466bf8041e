"""``sprawlctl test``: the original's integration tests, which really read back what they sent.

In: nodes, a topic, how many messages. Out: the original's lines; exit 1 if one failed. Invariant: a
test passes only when every message was read again, once, byte for byte.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option, topic_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client, Receipt
from sprawl.errors import SprawlError

_READ_TIMEOUT_S: Final = 15.0


@click.command("test")
@nodes_option
@topic_option("test")
@click.option("-c", "--count", type=click.IntRange(1), default=100, show_default=True)
@click.option("-P", "--parallel", type=click.IntRange(1, 1000), default=10, show_default=True)
@output_option
def selftest(nodes: tuple[str, ...], topic: str, count: int, parallel: int, output: str) -> None:
    """Run integration tests against the nodes."""
    run(_Tests(nodes, topic, count, parallel, output).run())


class _Failed(Exception):
    """A test found what should not be."""


class _Tests:
    def __init__(
        self, nodes: Sequence[str], topic: str, count: int, parallel: int, form: str
    ) -> None:
        self._nodes = nodes
        self._topic = topic
        self._count = count
        self._parallel = parallel
        self._form = form
        self._mark = secrets.token_hex(8)
        self._rows: list[dict[str, object]] = []

    async def run(self) -> int:
        """All three tests, then the nodes' counters."""
        self._say("Running integration tests...")
        await self._one("Test 1: Basic pub/sub", self._basic)
        await self._one("Test 2: Message delivery under load", self._load)
        await self._one("Test 3: Node failure recovery", self._failure)
        if self._form == "table":
            for url in self._nodes:
                await self._metrics(url)
        else:
            out.rows(self._rows, self._form)
        return exits.OK if all(row["passed"] for row in self._rows) else exits.FAILED

    def _say(self, text: str) -> None:
        if self._form == "table":
            out.line(text)

    async def _one(self, name: str, test: Callable[[], Awaitable[None]]) -> None:
        self._say(name)
        error: str | None = None
        try:
            await test()
        except (_Failed, SprawlError) as failure:
            error = str(failure)
        except TimeoutError:
            error = f"the messages were not read within {_READ_TIMEOUT_S:g} s"
        self._rows.append({"test": name, "passed": error is None, "error": error})
        self._say("✅ Passed" if error is None else f"❌ Failed: {error}")

    async def _basic(self) -> None:
        """A subscription, a message, and the message by its id."""
        for url in self._nodes:
            async with Client(url) as client:
                answer = await client.post("/subscribe", {"topics": [self._topic]})
                payload = f"basic {self._mark}"
                receipt = await client.publish(self._topic, payload)
                await self._read_back(client, {payload: receipt})
                found = await client.get(f"/messages/{receipt.id}")
                if not isinstance(found, dict) or found.get("payload") != payload:
                    raise _Failed(f"{url} answers another payload for message {receipt.id}")
                if isinstance(answer, dict):
                    await client.post("/unsubscribe", {"id": answer.get("id")})

    async def _load(self) -> None:
        """Many messages from many senders."""
        async with asyncio.TaskGroup() as group:
            for n, url in enumerate(self._nodes):
                group.create_task(self._load_one(url, len(range(n, self._count, len(self._nodes)))))

    async def _load_one(self, url: str, count: int) -> None:
        sent: dict[str, Receipt] = {}
        numbers = iter(range(count))

        async def sender(client: Client) -> None:
            for number in numbers:
                payload = f"load {self._mark} {number}"
                sent[payload] = await client.publish(self._topic, payload)

        async with Client(url) as client:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._parallel, count)):
                    group.create_task(sender(client))
            if sent:
                await self._read_back(client, sent)

    async def _failure(self) -> None:
        """A node that dies in the middle of every publish stands before each real one."""
        async with _dying_node() as dead:
            for url in self._nodes:
                async with Client([dead, url]) as client:
                    payload = f"failure {self._mark}"
                    receipt = await client.publish(self._topic, payload)
                    await self._read_back(client, {payload: receipt})

    async def _read_back(self, client: Client, sent: dict[str, Receipt]) -> None:
        """Every message sent is read, once, at the place its receipt names."""
        left = dict(sent)
        for partition in sorted({receipt.partition for receipt in sent.values()}):
            offsets = [r.offset for r in sent.values() if r.partition == partition]
            reader = client.read(
                self._topic, from_=f"offset:{min(offsets)}", partition=partition, follow=False
            )
            async with asyncio.timeout(_READ_TIMEOUT_S):
                async for message in reader:
                    text = message.data.decode(errors="replace")
                    if text not in sent:
                        continue
                    receipt = left.pop(text, None)
                    if receipt is None:
                        raise _Failed(f'"{text}" was read twice')
                    if receipt.offset != message.offset:
                        raise _Failed(f'"{text}" was read at another offset than acknowledged')
        if left:
            raise _Failed(f"{len(left)} of {len(sent)} acknowledged messages were not read")

    async def _metrics(self, url: str) -> None:
        async with Client(url) as client:
            try:
                answer = await client.get("/metrics")
            except SprawlError as error:
                out.complain(f"no metrics from {url}: {error.detail}")
                return
        router = answer.get("router") if isinstance(answer, dict) else None
        found = router if isinstance(router, dict) else {}
        out.line(f"Metrics for {url}:")
        for name in ("Routed", "Sent", "Stored", "Received"):
            out.line(f"  Messages {name}: {found.get(f'messages_{name.lower()}', 0)}")


class _dying_node:  # noqa: N801 - reads as a statement
    """``async with``: the url of something that reads requests and breaks off."""

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aexit__(self, *_raised: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.transport.abort()
