"""``sprawlctl subscribe``: the original's subscriber.

In: a topic, nodes. Out: a ``Subscribed`` line per node, then (on a terminal or with ``-f``) messages
until interrupted. Invariants: a message published after the ``Subscribed`` line is printed, once,
whatever the number of nodes that tell of it; a subscription made by a command that follows goes
when it ends, unless ``--id`` named it.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import click

from sprawl.cli.ctl import exits, output
from sprawl.cli.ctl.options import nodes_option, output_option, topic_option
from sprawl.cli.ctl.run import run
from sprawl.cli.ctl.sub import show
from sprawl.client import Client, Message, Reader
from sprawl.errors import BadAnswer, NotFound, SprawlError

_POLL_S: Final = 0.5
_SEEN_MAX: Final = 10_000


@click.command()
@nodes_option
@topic_option("test")
@click.option(
    "-f", "--follow/--no-follow", default=None, help="Print messages.  [default: on a terminal]"
)
@click.option("--id", "name", default=None, help="Name of the subscription; it is kept.")
@output_option
def subscribe(
    nodes: tuple[str, ...], topic: str, follow: bool | None, name: str | None, output: str
) -> None:
    """Subscribe to a topic on each node and print its messages."""
    is_following = sys.stdout.isatty() if follow is None else follow
    run(_subscribe(nodes, topic, name, output, is_following=is_following))


async def _subscribe(
    nodes: Sequence[str], topic: str, name: str | None, form: str, *, is_following: bool
) -> int:
    clients = [Client(url) for url in nodes]
    made: list[tuple[Client, str]] = []
    status = exits.OK
    seen = _Seen()
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                url = client.addresses[0].url
                try:
                    reader = await _placed(client, topic) if is_following else None
                    made.append((client, await _subscribed(client, topic, name)))
                except SprawlError as error:
                    output.complain(f"Error: failed to subscribe on {url}: {error.detail}")
                    status = status or exits.status_of(error)
                    continue
                output.line_or_complaint(
                    f"Subscribed to {topic} on {url} (ID: {made[-1][1]})", form
                )
                if is_following:
                    group.create_task(_follow(client, topic, reader, seen, form))
    finally:
        try:
            if is_following and name is None:
                await _unsubscribe(made)
        finally:
            for client in clients:
                await client.close()
    return status


async def _subscribed(client: Client, topic: str, name: str | None) -> str:
    asked: dict[str, object] = {"topics": [topic]}
    if name is not None:
        asked["id"] = name
    answer = await client.post("/subscribe", asked)
    if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
        raise BadAnswer("answer of /subscribe has no id")
    return str(answer["id"])


async def _placed(client: Client, topic: str) -> Reader | None:
    """A reader at the end of the topic; None while the topic does not exist."""
    reader = client.read(topic, from_="latest", on_gap="skip")
    try:
        await reader.start()
    except NotFound:
        return None
    return reader


async def _follow(
    client: Client, topic: str, reader: Reader | None, seen: "_Seen", form: str
) -> None:
    """Prints messages for ever; a topic that did not exist is read from its first message."""
    while reader is None:
        await asyncio.sleep(_POLL_S)
        first = client.read(topic, from_="earliest", on_gap="skip")
        try:
            await first.start()
            reader = first
        except NotFound:
            continue
    async for message in reader:
        if seen.is_new(message):
            show(message, form)


class _Seen:
    """The ids of late; nodes of one cluster tell of the same messages."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, message: Message) -> bool:
        """Whether no node has told of it yet."""
        if message.id in self._ids:
            return False
        self._ids[message.id] = None
        if len(self._ids) > _SEEN_MAX:
            self._ids.popitem(last=False)
        return True


async def _unsubscribe(made: Sequence[tuple[Client, str]]) -> None:
    for client, subscription in made:
        try:
            async with asyncio.timeout(2):
                await client.post("/unsubscribe", {"id": subscription})
        except (SprawlError, TimeoutError) as error:
            output.complain(f"subscription {subscription} was not removed: {error}")
