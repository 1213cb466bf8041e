"""How many connections are let in."""

import asyncio

from sprawl.edge.caps import REFUSAL, ConnectionCaps


def test_one_address_cannot_take_more_than_its_share() -> None:
    caps = ConnectionCaps(10, 2)
    assert [caps.admit("a") for _ in range(3)] == [True, True, False]
    assert caps.admit("b")
    caps.release("a")
    assert caps.admit("a")
    assert caps.count == 3


def test_all_together_are_bounded() -> None:
    caps = ConnectionCaps(2, 2)
    assert [caps.admit(name) for name in "abc"] == [True, True, False]


async def test_empty_is_told_when_the_last_one_goes() -> None:
    caps = ConnectionCaps()
    await caps.until_empty()
    caps.admit("a")
    waiter = asyncio.create_task(caps.until_empty())
    await asyncio.sleep(0)
    assert not waiter.done()
    caps.release("a")
    await waiter


def test_refusal_is_a_whole_answer() -> None:
    head, _, body = REFUSAL.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Content-Length: %d" % len(body) in head
    assert b"Connection: close" in head
