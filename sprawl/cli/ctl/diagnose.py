"""``sprawlctl diagnose``: the original's checks, with its texts."""

from typing import Final

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client
from sprawl.errors import BadAnswer, SprawlError

CHECKS: Final = (
    ("Checking node health", "/health"),
    ("Checking node status", "/status"),
    ("Checking metrics", "/metrics"),
    ("Checking /dht endpoint", "/dht"),
    ("Checking /store endpoint", "/store"),
    ("Checking /topics endpoint", "/topics"),
)


@click.command()
@nodes_option
@output_option
def diagnose(nodes: tuple[str, ...], output: str) -> None:
    """Check every endpoint of each node."""
    run(_diagnose(nodes, output))


async def _diagnose(nodes: tuple[str, ...], form: str) -> int:
    rows: list[dict[str, object]] = []
    for url in nodes:
        if form == "table":
            out.line(f"Running diagnostics on node: {url}")
        async with Client(url, tries_max=1, timeout_s=10) as client:
            for text, path in CHECKS:
                row = await _check(client, path)
                rows.append({"node": url} | row)
                if form == "table":
                    _tell(text, row)
    if form != "table":
        out.rows([{k: v for k, v in row.items() if k != "answer"} for row in rows], form)
    return exits.OK if all(row["ok"] for row in rows) else exits.FAILED


async def _check(client: Client, path: str) -> dict[str, object]:
    try:
        answer = await client.get(path)
        if not isinstance(answer, dict):
            raise BadAnswer(f"{path} answered no object")
    except SprawlError as error:
        return {"path": path, "ok": False, "error": error.detail}
    return {"path": path, "ok": True, "error": None, "answer": answer}


def _tell(text: str, row: dict[str, object]) -> None:
    out.line(f"{text}... {'OK' if row['ok'] else 'FAILED'}")
    if not row["ok"]:
        out.line(f"  Error: {row['error']}")
    answer = row.get("answer")
    if row["path"] == "/status" and isinstance(answer, dict):
        members = answer.get("cluster_members")
        out.line(f"  Node ID: {answer.get('node_id')}")
        out.line(f"  HTTP Port: {answer.get('http_port')}")
        out.line(f"  Address: {answer.get('address')}")
        out.line(f"  Cluster Members: {len(members) if isinstance(members, list) else 0}")
