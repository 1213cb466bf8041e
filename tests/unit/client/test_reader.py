"""Reading: pages, cursors, reconnection, gaps."""

import asyncio

import pytest

from sprawl import errors
from sprawl.client import Client, bounds
from tests.unit.client.flaky_server import FlakyServer, problem

VALUES = [b"%d" % n for n in range(25)]


async def test_a_read_without_following_ends_at_the_end(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 1
    node.append("t", *VALUES)
    read = [message async for message in client.read("t", follow=False)]
    assert [message.data for message in read] == VALUES
    assert read[4].id == "aaaaaaaaaaaao-0-4"
    assert read[4].topic == "t"


async def test_several_partitions_are_read_as_json(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 2
    node.append("t", *VALUES[:10], partition=0)
    node.append("t", *VALUES[10:], partition=1)
    read = [message async for message in client.read("t", follow=False)]
    assert sorted(int(message.data) for message in read) == list(range(25))
    assert {asked.headers.get("accept") for asked in node.asked[1:]} == {"application/json"}
    only = [message.data async for message in client.read("t", partition=1, follow=False)]
    assert only == VALUES[10:]


@pytest.mark.parametrize("partitions", [1, 2])
async def test_a_cursor_goes_on_after_the_last_message_taken(
    node: FlakyServer, client: Client, partitions: int
) -> None:
    node.partitions["t"] = partitions
    node.append("t", *VALUES)
    reader = client.read("t", follow=False)
    first = [await anext(reader) for _ in range(7)]
    cursor = reader.cursor
    await reader.aclose()
    rest = [m async for m in client.read("t", from_=f"cursor:{cursor}", follow=False)]
    assert [message.data for message in first + rest] == VALUES


async def test_limit_ends_the_read(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 1
    node.append("t", *VALUES)
    read = [message.data async for message in client.read("t", from_="offset:3", limit=5)]
    assert read == VALUES[3:8]
    assert [m async for m in client.read("t", limit=0)] == []


@pytest.mark.parametrize("failure", ["drop", "hang", problem(503, "draining")], ids=str)
async def test_a_following_read_reconnects_and_misses_nothing(
    node: FlakyServer, client: Client, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "FOLLOW_WAIT_S", 0.2)
    node.partitions["t"] = 1
    node.append("t", b"before")
    reader = client.read("t", from_="latest")
    node.script.extend([None, failure])
    reading = asyncio.ensure_future(anext(reader))
    while len(node.asked) < 3:  # partitions, first page, the one that fails
        await asyncio.sleep(0)
    node.append("t", b"after")
    assert (await reading).data == b"after"
    await reader.aclose()


async def test_a_gap_is_an_error_and_never_a_silent_skip(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 1
    node.append("t", *VALUES)
    node.low = 10
    with pytest.raises(errors.Expired):
        await anext(client.read("t", from_="offset:0"))
    reader = client.read("t", from_="offset:0", on_gap="skip", follow=False)
    assert [message.data async for message in reader] == VALUES[10:]
    assert reader.gaps_count == 1


@pytest.mark.parametrize("partitions", [1, 2])
async def test_what_a_node_has_lost_is_an_error_and_never_a_silent_skip(
    node: FlakyServer, client: Client, partitions: int
) -> None:
    node.partitions["t"] = partitions
    node.append("t", *VALUES)
    node.gaps = [(0, 2, 4, "damaged"), (0, 9, 11, "lost_tail")]
    with pytest.raises(errors.LogDamaged, match="0;2-4;damaged, 0;9-11;lost_tail"):
        await anext(client.read("t", from_="offset:0" if partitions == 1 else "earliest"))
    reader = client.read("t", on_gap="skip", follow=False)
    assert [message.data async for message in reader] == VALUES
    assert reader.gaps_count % 2 == 0 and reader.gaps_count > 0


async def test_an_unknown_topic_is_not_found(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        await anext(client.read("none"))


async def test_pages_give_the_same_messages(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 1
    node.append("t", *VALUES)
    pages = [page async for page in client.read("t", follow=False, limit=11).pages()]
    assert [message.data for page in pages for message in page] == VALUES[:11]
