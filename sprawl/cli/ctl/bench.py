"""``sprawlctl bench``: how fast the nodes are, seen from here, and whether anything went missing.

In: a plan. Out: messages and megabytes per second, latencies, errors, duplicates, lost; exit 1 when
something was lost or failed. The topic is made for the run and deleted after it, unless named.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.load import HEAD, Plan, Receiver, Sender, Totals
from sprawl.cli.ctl.options import Duration, nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SETTLE_S = 5.0


@click.group()
def bench() -> None:
    """Measure publishing and reading (open loop with --rate)."""


def _options(*, rate: float) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        for option in (
            nodes_option,
            output_option,
            click.option("--topic", default=None, help="An existing topic; it is kept."),
            click.option("--clients", type=click.IntRange(1, 1000), default=1, show_default=True),
            click.option(
                "--size",
                type=click.IntRange(HEAD.size, 1024 * 1024),
                default=128,
                show_default=True,
                help="Bytes of a payload.",
            ),
            click.option("--batch", type=click.IntRange(1, 10_000), default=1000 if not rate else 1,
                         show_default=True, help="Messages of a batch."),
            click.option("--rate", type=click.FloatRange(0), default=rate, show_default=True,
                         help="Messages a second, all clients; 0: as fast as answers allow."),
            click.option("--duration", type=Duration(), default=10.0, show_default="10s"),
            click.option("--warmup", type=Duration(), default=1.0, show_default="1s"),
            click.option("--durability", default=None, help="memory, disk, quorum, quorum-disk."),
            click.option("--json", "as_json", is_flag=True, help="Same as -o json."),
        ):  # fmt: skip
            command = option(command)
        return command

    return decorate


def _plan(topic: str | None, options: dict[str, Any]) -> Plan:
    return Plan(
        topic=topic or f"bench-{secrets.token_hex(4)}",
        run=secrets.randbits(64),
        clients=options["clients"],
        size=options["size"],
        batch=options["batch"],
        rate=options["rate"],
        duration_s=options["duration"],
        warmup_s=options["warmup"],
        durability=options["durability"],
    )


@bench.command("pub")
@_options(rate=0)
def pub(nodes: tuple[str, ...], topic: str | None, **options: Any) -> None:
    """Publish; latency is from the planned time to the acknowledgement."""
    _run(nodes, topic, options, kind="pub")


@bench.command("sub")
@_options(rate=0)
def sub(nodes: tuple[str, ...], topic: str | None, **options: Any) -> None:
    """Read what is stored (of a topic filled first, unless one is named), as fast as it comes."""
    _run(nodes, topic, options, kind="sub")


@bench.command("pubsub")
@_options(rate=0)
def pubsub(nodes: tuple[str, ...], topic: str | None, **options: Any) -> None:
    """Publish and read at once; everything acknowledged must arrive, once."""
    _run(nodes, topic, options, kind="pubsub")


@bench.command("latency")
@_options(rate=1000)
def latency(nodes: tuple[str, ...], topic: str | None, **options: Any) -> None:
    """As pubsub at a steady rate; latency is from the planned time to the reader."""
    _run(nodes, topic, options, kind="latency")


def _run(nodes: tuple[str, ...], topic: str | None, options: dict[str, Any], *, kind: str) -> None:
    form = "json" if options["as_json"] else options["output"]
    if kind == "latency" and not options["rate"]:
        raise click.UsageError("latency takes a --rate above 0")
    plan = _plan(topic, options)
    run(_Bench(nodes, plan, kind, form).run(keeps_topic=topic is not None), fast=True)


class _Bench:
    def __init__(self, nodes: tuple[str, ...], plan: Plan, kind: str, form: str) -> None:
        self._nodes = nodes
        self._plan = plan
        self._kind = kind
        self._form = form
        self._totals = Totals()
        self._seconds = plan.duration_s

    async def run(self, *, keeps_topic: bool) -> int:
        """The whole benchmark; its exit status."""
        async with Client(self._nodes) as client:
            if not keeps_topic:
                await client.topics().put(self._plan.topic)
            try:
                if self._kind == "sub":
                    await self._read_stored(is_filled=keeps_topic)
                else:
                    await self._publish(client)
            finally:
                if not keeps_topic:
                    await client.topics().delete(self._plan.topic)
        self._report()
        is_bad = self._totals.errors or self._totals.lost or self._totals.duplicates
        return exits.FAILED if is_bad else exits.OK

    async def _publish(self, client: Client) -> None:
        """Sends; reads at the same time unless only sending is measured."""
        receiver: Receiver | None = None
        if self._kind != "pub":
            receiver = Receiver(client, self._plan, self._totals, "latest")
            await receiver.start()
        async with _running(receiver), self._progress():
            await self._send_all(receiver)
            if receiver is not None:
                await receiver.settle(_SETTLE_S)

    async def _send_all(self, receiver: Receiver | None) -> None:
        clients = [Client(self._nodes) for _ in range(self._plan.clients)]
        start_ns = time.monotonic_ns()
        if receiver is not None:
            receiver.start_ns = start_ns
        try:
            async with asyncio.TaskGroup() as group:
                for number, client in enumerate(clients):
                    sender = Sender(client, self._plan, number, self._totals)
                    group.create_task(sender.run(start_ns, keeps=receiver is not None))
        finally:
            for client in clients:
                await client.close()

    async def _read_stored(self, *, is_filled: bool) -> None:
        """Reads from the beginning for the duration, once more from there at the end."""
        if not is_filled:
            await self._send_all(None)
        readers = [Client(self._nodes) for _ in range(self._plan.clients)]
        counts = [0] * len(readers)
        start_ns = time.monotonic_ns()
        end_ns = start_ns + int(self._plan.duration_s * 1e9)

        async def read(number: int, reader: Client) -> None:
            while time.monotonic_ns() < end_ns:
                found = 0
                async for page in reader.read(self._plan.topic, follow=False).pages():
                    found += len(page)
                    counts[number] += len(page)
                    if time.monotonic_ns() >= end_ns:
                        return
                if not found:
                    return

        try:
            async with self._progress(), asyncio.TaskGroup() as group:
                for number, reader in enumerate(readers):
                    group.create_task(read(number, reader))
        finally:
            for reader in readers:
                await reader.close()
        self._seconds = (time.monotonic_ns() - start_ns) / 1e9
        self._totals.received = self._totals.received_measured = sum(counts)

    @asynccontextmanager
    async def _progress(self) -> AsyncIterator[None]:
        """A bar on stderr, where that is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        task = asyncio.get_running_loop().create_task(self._draw(), name="progress bar")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        total_s = self._plan.duration_s + self._plan.warmup_s
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(self._kind, total=total_s)
            start_s = time.monotonic()
            while True:
                count = self._totals.acknowledged or self._totals.received
                done_s = min(time.monotonic() - start_s, total_s)
                progress.update(bar, completed=done_s, description=f"{self._kind} {count:,}")
                await asyncio.sleep(0.1)

    def _report(self) -> None:
        totals, plan = self._totals, self._plan
        is_read = self._kind == "sub"
        count = totals.received_measured if is_read else totals.measured
        latencies = totals.ends if self._kind in {"latency", "pubsub"} else totals.acks
        row: dict[str, object] = {
            "bench": self._kind,
            "messages_per_s": round(count / self._seconds),
            "megabytes_per_s": round(count * max(plan.size, HEAD.size) / self._seconds / 1e6, 2),
            "messages": count,
            "seconds": round(self._seconds, 3),
            "clients": plan.clients,
            "size": plan.size,
            "batch": plan.batch,
            "rate": plan.rate,
            "durability": plan.durability or "default",
            "latency_ms": None if is_read else latencies.milliseconds(),
            "errors": totals.errors,
            "duplicates": totals.duplicates,
            "lost": totals.lost if self._kind in {"pubsub", "latency"} else None,
        }
        if totals.first_error:
            row["first_error"] = totals.first_error
        out.record(row, self._form)


@asynccontextmanager
async def _running(receiver: Receiver | None) -> AsyncIterator[None]:
    """Runs ``receiver`` inside the block; its error ends the block."""
    if receiver is None:
        yield
        return
    async with asyncio.TaskGroup() as group:
        task = group.create_task(receiver.run())
        yield
        task.cancel()
