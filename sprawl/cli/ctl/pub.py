"""``sprawlctl pub``: publish with everything a message can have.

In: a topic; the payload as argument, as stdin, or as stdin's lines. Out: a receipt per message.
"""

import sys

import click

from sprawl.cli.ctl import output as out
from sprawl.cli.ctl.options import nodes_option, output_option
from sprawl.cli.ctl.run import run
from sprawl.client import Client, Delivery, Receipt


@click.command()
@click.argument("topic")
@click.argument("payload", required=False)
@nodes_option
@click.option("--key", default=None, help="Key: its messages keep their order.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE")
@click.option("--content-type", default=None)
@click.option("--ttl", type=click.IntRange(0), default=None, help="Lifetime in seconds.")
@click.option("--durability", default=None, help="memory, disk, quorum or quorum-disk.")
@click.option("--id", "name", default=None, help="Idempotency key: stored once.")
@click.option("--if-match", type=click.IntRange(0), default=None, help="Only after this offset.")
@click.option("--partition", type=click.IntRange(0), default=None)
@click.option("--lines", is_flag=True, help="Each line of stdin is a message.")
@output_option
def pub(
    topic: str,
    payload: str | None,
    nodes: tuple[str, ...],
    key: str | None,
    headers: tuple[str, ...],
    content_type: str | None,
    ttl: int | None,
    durability: str | None,
    name: str | None,
    if_match: int | None,
    partition: int | None,
    lines: bool,
    output: str,
) -> None:
    """Publish PAYLOAD (or stdin, when it is - or missing) to TOPIC."""
    fields = dict(_header(text) for text in headers)
    if lines and (payload is not None or name or if_match is not None or partition is not None):
        raise click.UsageError("--lines takes no payload, --id, --if-match or --partition")

    async def one() -> int:
        data = sys.stdin.buffer.read() if payload in {None, "-"} else str(payload).encode()
        async with Client(nodes) as client:
            receipt = await client.publish(
                topic,
                data,
                key=key,
                headers=fields,
                content_type=content_type,
                ttl_s=ttl,
                durability=durability,
                idempotency_key=name,
                partition=partition,
                if_match=if_match,
            )
        out.record(members_of(receipt), output)
        return 0

    async def many() -> int:
        extra = {"headers": fields, "content_type": content_type, "ttl_s": ttl}
        encoded_key = None if key is None else key.encode()
        rows: list[dict[str, object]] = []
        async with Client(nodes) as client, client.producer(durability=durability) as producer:
            waiting: list[Delivery] = []
            for line in sys.stdin.buffer:
                data = line.rstrip(b"\r\n")
                waiting.append(await producer.publish(topic, data, key=encoded_key, **extra))  # type: ignore[arg-type]
                if len(waiting) >= 10_000:
                    await producer.flush()
                    rows += _settled(waiting, output)
            await producer.flush()
            rows += _settled(waiting, output)
        if output in {"json", "table"}:
            out.rows(rows, output)
        return 0

    run(many() if lines else one())


def _settled(waiting: list[Delivery], output: str) -> list[dict[str, object]]:
    rows = [members_of(delivery.result()) for delivery in waiting]
    waiting.clear()
    if output in {"ndjson", "raw"}:
        out.rows(rows, output)
        return []
    return rows


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.UsageError(f'header "{text}" is not NAME=VALUE')
    return name, value


def members_of(receipt: Receipt) -> dict[str, object]:
    """A receipt as a row."""
    return {
        "id": receipt.id,
        "topic": receipt.topic,
        "partition": receipt.partition,
        "offset": receipt.offset,
        "durability": receipt.reached,
        "duplicate": receipt.is_duplicate,
    }
