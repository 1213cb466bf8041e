"""``sprawlctl sub``: read a topic.

In: a topic or pattern, where to begin. Out: messages, until the end (``-e``), the limit or an
interrupt.
"""

import base64
import sys

import click

from sprawl.cli.ctl import output
from sprawl.cli.ctl.options import Range, nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client, Message


@click.command()
@click.argument("topic")
@nodes_option
@click.option(
    "--from",
    "from_",
    type=Range(),
    default="latest",
    show_default=True,
    help="earliest, latest, offset:N, -10m, @2026-01-01T00:00:00Z or cursor:C.",
)
@click.option("-e", "--end", is_flag=True, help="End at the present end of the topic.")
@click.option("--limit", type=click.IntRange(1), default=None, help="End after so many messages.")
@click.option("--partition", type=click.IntRange(0), default=None)
@click.option("--key", default=None, help="Only messages of this key.")
@click.option("--skip-gaps", is_flag=True, help="Go on after messages that retention removed.")
@click.option("--show-cursor", is_flag=True, help="Write the cursor to stderr at the end.")
@output_option
def sub(
    topic: str,
    nodes: tuple[str, ...],
    from_: str,
    end: bool,
    limit: int | None,
    partition: int | None,
    key: str | None,
    skip_gaps: bool,
    show_cursor: bool,
    output: str,
) -> None:
    """Read TOPIC (or a pattern: * one token, > the rest) and print its messages."""

    async def work() -> int:
        async with Client(nodes) as client:
            reader = client.read(
                topic,
                from_=from_,
                partition=partition,
                follow=not end,
                limit=limit,
                key=key,
                on_gap="skip" if skip_gaps else "raise",
            )
            printer = _Printer(output)
            try:
                async for message in reader:
                    printer.show(message)
            finally:
                printer.end()
                if show_cursor:
                    click.echo(f"cursor:{reader.cursor}", err=True)
        return 0

    run(work())


class _Printer:
    """Writes messages as they come; as ``json`` they are the elements of one array."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._count = 0

    def show(self, message: Message) -> None:
        """Writes one message."""
        if self._form == "json":
            output.line(("[" if not self._count else ",") + output.encoded(members_of(message)))
        else:
            show(message, self._form)
        self._count += 1

    def end(self) -> None:
        """Closes the array."""
        if self._form == "json":
            output.line("]" if self._count else "[]")


def members_of(message: Message) -> dict[str, object]:
    """A message as the API writes it in JSON."""
    members: dict[str, object] = {
        "id": message.id,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if message.key is not None:
        members |= _text_or_base64("key", "key_base64", message.key)
    if message.raw_headers:
        members["headers"] = message.headers
    if message.content_type is not None:
        members["content_type"] = message.content_type
    return members | _text_or_base64("payload", "base64", message.data)


def _text_or_base64(name: str, binary_name: str, data: bytes) -> dict[str, object]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {binary_name: base64.b64encode(data).decode()}


def show(message: Message, form: str) -> None:
    """One message: a JSON line, its bytes, or a line for people."""
    if form in {"ndjson", "json"}:
        output.line(output.encoded(members_of(message)))
    elif form == "raw":
        sys.stdout.buffer.write(message.data + b"\n")
        sys.stdout.buffer.flush()
    else:
        key = f" {message.key.decode(errors='replace')}" if message.key is not None else ""
        text = message.data.decode(errors="replace")
        place = f"{message.topic}/{message.partition}@{message.offset}"
        output.line(output.escaped(f"[{place}{key}] {text}"))
