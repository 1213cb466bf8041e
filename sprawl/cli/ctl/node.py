"""``sprawlctl node``, ``health`` and ``doctor``: how nodes are.

In: urls. Out: what each says of itself; exit 1 when one is not well.
"""

from collections.abc import Mapping

import click

from sprawl.cli.ctl import exits
from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client
from sprawl.errors import SprawlError


@click.command()
@nodes_option
@output_option
def node(nodes: tuple[str, ...], output: str) -> None:
    """Show what each node says of itself."""

    async def work() -> int:
        answers = [await _asked(url, "/v1/node") for url in nodes]
        if len(answers) == 1:
            out.record(answers[0], output)
        else:
            out.rows(answers, "json" if output == "table" else output)
        return exits.OK

    run(work())


async def _asked(url: str, path: str) -> Mapping[str, object]:
    async with Client(url) as client:
        answer = await client.get(path)
    return answer if isinstance(answer, dict) else {"answer": answer}


@click.command()
@nodes_option
@output_option
def health(nodes: tuple[str, ...], output: str) -> None:
    """Tell whether each node is well; exit 1 when one is not."""
    run(_checked(nodes, {"health": "/health"}, output))


@click.command()
@nodes_option
@output_option
def doctor(nodes: tuple[str, ...], output: str) -> None:
    """Ask each node for everything that must work."""
    checks = {"health": "/health", "node": "/v1/node", "topics": "/v1/topics", "store": "/store"}
    run(_checked(nodes, checks, output))


async def _checked(nodes: tuple[str, ...], checks: Mapping[str, str], output: str) -> int:
    rows: list[dict[str, object]] = []
    status = exits.OK
    for url in nodes:
        async with Client(url, tries_max=1, timeout_s=10) as client:
            for name, path in checks.items():
                row: dict[str, object] = {"node": url, "check": name}
                try:
                    answer = await client.get(path)
                except SprawlError as error:
                    row |= {"status": "failed", "detail": error.detail}
                    status = status or exits.status_of(error)
                else:
                    said = answer.get("status", "ok") if isinstance(answer, dict) else "ok"
                    row |= {"status": said, "detail": ""}
                rows.append(row)
    out.rows(rows, output)
    return status
