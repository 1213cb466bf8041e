"""The client without a loop does what the asyncio one does."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from sprawl import errors
from sprawl.client.sync import Client
from tests.unit.client.flaky_server import FlakyServer, problem

MANY = [b"%d" % n for n in range(3_000)]


@pytest.fixture
def node() -> Iterator[FlakyServer]:
    """The misbehaving node, on a loop in a thread of its own."""
    server = FlakyServer()
    ready, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server.serve():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield server
    loop.call_soon_threadsafe(end.set)
    thread.join()
    loop.close()


def test_publish_and_read(node: FlakyServer) -> None:
    node.partitions["t"] = 1
    with Client(node.url) as client:
        receipts = [client.publish("t", value) for value in MANY[:5]]
        assert [receipt.offset for receipt in receipts] == list(range(5))
        reader = client.read("t", follow=False)
        assert [message.data for message in reader] == MANY[:5]
        assert [
            m.data for m in client.read("t", from_=f"cursor:{reader.cursor}", follow=False)
        ] == []
        pages = client.read("t", follow=False).pages()
        assert [message.data for page in pages for message in page] == MANY[:5]


def test_the_producer_keeps_order_and_settles_each_delivery(node: FlakyServer) -> None:
    with Client(node.url) as client, client.producer(max_in_flight=500) as producer:
        deliveries = [producer.publish_nowait("t", value) for value in MANY]
        producer.flush()
        offsets = [delivery.result(5).offset for delivery in deliveries]
    assert node.values("t") == MANY
    assert offsets == list(range(len(MANY)))


def test_threads_may_share_a_client(node: FlakyServer) -> None:
    with Client(node.url) as client, client.producer() as producer:

        def work() -> None:
            for value in MANY[:200]:
                producer.publish("t", value)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(node.values("t")) == sorted(MANY[:200] * 4)


def test_a_refused_message_fails_its_delivery(node: FlakyServer) -> None:
    with Client(node.url) as client:
        with client.producer() as producer:
            delivery = producer.publish_nowait("t", bytes(11 * 1024 * 1024))
        assert isinstance(delivery.exception(5), errors.TooLarge)


def test_at_the_bound_it_may_raise_or_drop(node: FlakyServer) -> None:
    node.script.append("hang")
    with Client(node.url) as client:
        dropping = client.producer(max_in_flight=1, on_full="drop", linger_ms=60_000)
        raising = client.producer(max_in_flight=1, on_full="raise", linger_ms=60_000)
        first = dropping.publish_nowait("t", b"a")
        assert isinstance(dropping.publish_nowait("t", b"b").exception(1), errors.QueueFull)
        assert dropping.dropped_count == 1
        raising.publish_nowait("t", b"a")
        with pytest.raises(errors.QueueFull):
            raising.publish_nowait("t", b"b")
        dropping.close()
        assert isinstance(first.exception(5), errors.Closed)


def test_errors_and_topics(node: FlakyServer) -> None:
    node.partitions["t"] = 3
    with Client(node.url) as client:
        assert len(client.topics().get("t").partitions) == 3
        with pytest.raises(errors.NotFound):
            client.topics().get("none")
        node.script.append(problem(413, "too_large"))
        with pytest.raises(errors.TooLarge):
            client.publish("t", b"x")
    with pytest.raises(errors.Closed):
        client.publish("t", b"x")
