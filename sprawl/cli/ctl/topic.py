"""``sprawlctl topic``: list, show, create, delete topics, bring them back."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click
import msgspec

from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option, yes_options
from sprawl.cli.ctl.run import run
from sprawl.client import Client, Topics


@click.group()
def topic() -> None:
    """Topics: list, show, create, delete, undelete."""


def _with_topics(
    nodes: tuple[str, ...], work: Callable[[Topics], Coroutine[Any, Any, None]]
) -> None:
    async def connected() -> None:
        async with Client(nodes) as client:
            await work(client.topics())

    run(connected())


@topic.command("ls")
@click.argument("prefix", default="")
@nodes_option
@output_option
def ls(prefix: str, nodes: tuple[str, ...], output: str) -> None:
    """List the topics whose names begin with PREFIX."""

    async def work(topics: Topics) -> None:
        found = [msgspec.structs.asdict(found) async for found in topics.list(prefix)]
        out.rows(found, output)

    _with_topics(nodes, work)


@topic.command("show")
@click.argument("name")
@nodes_option
@output_option
def show(name: str, nodes: tuple[str, ...], output: str) -> None:
    """Show configuration and partitions of a topic."""

    async def work(topics: Topics) -> None:
        out.record(msgspec.to_builtins(await topics.get(name)), output)

    _with_topics(nodes, work)


@topic.command("create")
@click.argument("name")
@click.option("--partitions", type=click.IntRange(1), default=None)
@click.option("--replicas", type=click.IntRange(1), default=None)
@click.option("--retention-age", "retention_age_s", type=click.IntRange(0), default=None)
@click.option("--retention-bytes", type=click.IntRange(0), default=None)
@click.option("--retention-count", type=click.IntRange(0), default=None)
@click.option("--ttl", "ttl_s", type=click.IntRange(0), default=None)
@click.option("--durability", default=None)
@click.option("--discard", type=click.Choice(["old", "new"]), default=None)
@click.option("--dedup-window", "dedup_window_s", type=click.IntRange(0), default=None)
@nodes_option
@output_option
def create(name: str, nodes: tuple[str, ...], output: str, **config: Any) -> None:
    """Create a topic, or change what is given (ages and windows in seconds)."""

    async def work(topics: Topics) -> None:
        out.record(msgspec.to_builtins(await topics.put(name, **config)), output)

    _with_topics(nodes, work)


@topic.command("delete")
@click.argument("names", nargs=-1, required=True)
@yes_options
@nodes_option
@output_option
def delete(
    names: tuple[str, ...], nodes: tuple[str, ...], output: str, yes: bool, dry_run: bool
) -> None:
    """Delete topics with their messages, everywhere."""

    async def work(topics: Topics) -> None:
        found = [await topics.get(name) for name in names]
        if dry_run:
            rows = [{"topic": t.name, "would_delete_messages": t.messages} for t in found]
            out.rows(rows, output)
            return
        messages = sum(t.messages for t in found)
        question = f"Delete {', '.join(names)} with {messages} messages?"
        if not yes and not _agreed(question):
            raise click.Abort
        for name in names:
            await topics.delete(name)
        out.rows([{"topic": name, "status": "deleted"} for name in names], output)

    _with_topics(nodes, work)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here; say --yes (or --dry-run)")
    return click.confirm(question, err=True)


@topic.command("undelete")
@click.argument("name")
@nodes_option
@output_option
def undelete(name: str, nodes: tuple[str, ...], output: str) -> None:
    """Bring a deleted topic back, while its grace time lasts."""

    async def work(topics: Topics) -> None:
        out.record(msgspec.to_builtins(await topics.undelete(name)), output)

    _with_topics(nodes, work)
