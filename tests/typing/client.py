"""What a type checker must see of the client; never run, checked by mypy --strict."""

from typing import assert_type

from sprawl.client import Client, Delivery, Message, Outgoing, Producer, Reader, Receipt, sync
from sprawl.client.topics import TopicDetails


async def asyncio_client(client: Client) -> None:
    assert_type(await client.publish("t", b"x", key="k"), Receipt)
    assert_type(await client.publish_batch("t", [b"x", "y", Outgoing(data=b"z")]), list[Receipt])
    async with client.producer(on_full="drop") as producer:
        assert_type(producer, Producer)
        delivery = producer.publish_nowait("t", b"x")
        assert_type(delivery, Delivery)
        assert_type(await delivery, Receipt)
    reader = client.read("t", from_="latest")
    assert_type(reader, Reader)
    async for message in reader:
        assert_type(message, Message)
        assert_type(message.headers, dict[str, str])
    assert_type(await client.topics().get("t"), TopicDetails)


def threads(client: sync.Client) -> None:
    assert_type(client.publish("t", b"x"), Receipt)
    for message in client.read("t"):
        assert_type(message, Message)
    with client.producer() as producer:
        assert_type(producer.publish_nowait("t", b"x"), sync.Delivery)


async def refused(client: Client) -> None:
    await client.publish("t", 5)  # type: ignore[arg-type]
    client.producer(on_full="wait")  # type: ignore[arg-type]
    client.read("t", from_=5)  # type: ignore[arg-type]
    client.subscription("s")  # type: ignore[attr-defined]
