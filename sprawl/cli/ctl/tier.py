"""``sprawlctl tier``: where messages lie, moving them on, and what can be done with a bucket alone.

``status`` and ``move`` ask a node; ``verify``, ``restore`` and ``query`` read a bucket, with no node.
"""

from collections.abc import Sequence
from typing import Any

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.cli.ctl.source import source_options
from sprawl.client import Client
from sprawl.errors import BadAnswer


@click.group()
def tier() -> None:
    """Tiers: status, move, verify, restore, query."""


@tier.command("status")
@nodes_option
@output_option
def status(nodes: tuple[str, ...], output: str) -> None:
    """Show each tier of each node: what lies there, and what is wrong."""

    async def work() -> int:
        rows: list[out.Row] = []
        for url in nodes:
            async with Client(url) as client:
                answer = await client.get("/v1/tiers")
            found = answer.get("tiers") if isinstance(answer, dict) else None
            if not isinstance(found, list):
                raise BadAnswer(f"{url} answered no list of tiers")
            rows += [{"node": url} | row for row in found] if len(nodes) > 1 else found
        out.rows(_shown(rows) if output == "table" else rows, output)
        return exits.OK

    run(work())


def _shown(rows: Sequence[out.Row]) -> list[out.Row]:
    """The members that every tier has, and its state."""
    names = (
        "node", "tier", "state", "messages", "bytes", "stored_messages", "stored_bytes",
        "oldest", "newest",
    )  # fmt: skip
    kept = [name for name in names if any(name in row for row in rows)]
    return [{name: row.get(name) for name in kept} for row in rows]


@tier.command("move")
@click.argument("topic")
@click.option("--to", type=click.Choice(["disk", "cloud"]), required=True)
@nodes_option
@output_option
def move(topic: str, to: str, nodes: tuple[str, ...], output: str) -> None:
    """Move what TOPIC holds now at least that far, ahead of its age."""

    async def work() -> int:
        async with Client(nodes) as client:
            answer = await client.post("/store/tiers", {"topic": topic, "tier": to})
        if not isinstance(answer, dict):
            raise BadAnswer("/store/tiers answered no object")
        out.record({"topic": topic} | answer, output)
        return exits.OK

    run(work())


@tier.command("verify")
@source_options
@output_option
def verify(output: str, **place: Any) -> None:
    """Read a whole bucket and name what does not hold; exit 1 when anything does not."""
    from sprawl.cli.ctl.offline import Source, show_verified

    show_verified(Source(**place), output)


@tier.command("restore")
@source_options
@click.option(
    "--path",
    default="",
    envvar=["SPRAWL_STORAGE_DISK_PATH", "SPRAWL_STORAGE_PATH"],
    help="Empty or absent data directory.  [default: ./data/<bindPort>]",
)
@click.option(
    "--bindPort", "--bind-port", "bind_port", type=click.IntRange(1, 65_535), default=7946,
    envvar="SPRAWL_BIND_PORT", show_default=True, help="Cluster port of the node.",
)  # fmt: skip
@click.option("--node-id", default="", help="Identity of the node.  [default: a new one]")
@click.option("--skip-damaged", is_flag=True, help="Leave out what cannot be read, naming it.")
@output_option
def restore(
    path: str, bind_port: int, node_id: str, skip_damaged: bool, output: str, **place: Any
) -> None:
    """Make the data directory of a node that serves what a bucket holds.

    No message is downloaded. What had not reached the bucket is lost: the recovery point is the
    append time of the newest message that had.
    """
    from sprawl.cli.ctl.offline import Source, show_restored

    chosen = path or f"./data/{bind_port}"
    show_restored(Source(**place), chosen, bind_port, node_id, output, skips=skip_damaged)


@tier.command("query")
@click.argument("sql")
@source_options
@output_option
def query(sql: str, output: str, **place: Any) -> None:
    """Run one SELECT over the messages of a bucket, as the view `messages`.

    Needs DuckDB: pip install 'sprawl-node[sql]'. Bytes are shown as text where they are UTF-8, else
    as {"base64": …}. "offset" is a word of SQL and wants quotes.
    """
    from sprawl.cli.ctl.offline import Source, show_rows

    show_rows(Source(**place), sql, output)
