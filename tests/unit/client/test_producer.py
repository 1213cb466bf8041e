"""The batching producer: order, single storage, bounds."""

import asyncio
import random

import pytest

from sprawl import errors
from sprawl.client import Client, Delivery, Producer
from sprawl.client.routing import partition_of
from tests.unit.client.flaky_server import FlakyServer, problem

MANY = [b"%d" % n for n in range(2_000)]


async def test_messages_travel_in_few_requests_and_keep_their_order(
    node: FlakyServer, client: Client
) -> None:
    async with client.producer() as producer:
        deliveries = [producer.publish_nowait("t", value) for value in MANY]
    assert node.values("t") == MANY
    assert [delivery.result().offset for delivery in deliveries] == list(range(len(MANY)))
    assert deliveries[3].result().id == "aaaaaaaaaaaao-0-3"
    assert len(node.asked) <= 3


@pytest.mark.parametrize("seed", range(6))
async def test_each_message_is_stored_once_and_in_order_whatever_fails(
    node: FlakyServer, client: Client, seed: int
) -> None:
    failures = ["drop", "drop-after", problem(503, "busy"), None, problem(500, "internal_error")]
    node.script.extend(random.Random(seed).choices(failures, k=60))
    async with client.producer(max_batch_bytes=2_000) as producer:
        deliveries = [producer.publish_nowait("t", value) for value in MANY]
    assert node.values("t") == MANY
    assert [delivery.result().offset for delivery in deliveries] == list(range(len(MANY)))


async def test_a_refused_batch_fails_alone(node: FlakyServer, client: Client) -> None:
    node.script.extend([None, problem(413, "too_large")])
    async with client.producer(max_batch_bytes=2_000) as producer:
        deliveries = [producer.publish_nowait("t", value) for value in MANY]
        with pytest.raises(errors.TooLarge):
            await producer.flush()
    failed = {n for n, delivery in enumerate(deliveries) if delivery.exception()}
    assert 0 < len(failed) < 200
    assert node.values("t") == [value for n, value in enumerate(MANY) if n not in failed]


async def test_a_node_that_forgot_the_producer_is_given_a_new_one(
    node: FlakyServer, client: Client
) -> None:
    async with client.producer() as producer:
        await producer.publish_nowait("t", b"one")
        node.script.append(problem(409, "sequence_gap"))
        await producer.publish_nowait("t", b"two")
    assert node.values("t") == [b"one", b"two"]


async def test_keys_choose_the_partition_and_keep_their_order(
    node: FlakyServer, client: Client
) -> None:
    node.partitions["t"] = 5
    async with client.producer(max_batch_bytes=1_000) as producer:
        for n, value in enumerate(MANY):
            producer.publish_nowait("t", value, key=b"k%d" % (n % 50))
    for n in range(50):
        key = b"k%d" % n
        stored = [v for k, v in node.logs["t", partition_of(key, 5)] if k == key]
        assert stored == MANY[n::50]


async def test_without_keys_whole_batches_go_round(node: FlakyServer, client: Client) -> None:
    node.partitions["t"] = 3
    async with client.producer(max_batch_bytes=1_000) as producer:
        for value in MANY:
            producer.publish_nowait("t", value)
    counts = [len(node.values("t", partition)) for partition in range(3)]
    assert sum(counts) == len(MANY)
    assert min(counts) > len(MANY) // 6


@pytest.mark.parametrize("on_full", ["block", "raise"])
async def test_at_its_bound_the_producer_refuses(client: Client, on_full: str) -> None:
    async with client.producer(max_in_flight=2, on_full=on_full) as producer:  # type: ignore[arg-type]
        producer.publish_nowait("t", b"1")
        producer.publish_nowait("t", b"2")
        with pytest.raises(errors.QueueFull):
            producer.publish_nowait("t", b"3")


async def test_at_its_bound_the_producer_may_drop_and_counts(
    node: FlakyServer, client: Client
) -> None:
    async with client.producer(max_in_flight=2, on_full="drop") as producer:
        deliveries = [producer.publish_nowait("t", value) for value in MANY[:5]]
    assert producer.dropped_count == 3
    assert [type(delivery.exception()) for delivery in deliveries[2:]] == [errors.QueueFull] * 3
    assert node.values("t") == MANY[:2]


async def test_publish_waits_for_room(node: FlakyServer, client: Client) -> None:
    async with client.producer(max_in_flight=10) as producer:
        for value in MANY[:200]:
            await producer.publish("t", value)
    assert node.values("t") == MANY[:200]


async def test_a_cancelled_waiter_does_not_disturb_others(
    node: FlakyServer, client: Client
) -> None:
    async with client.producer() as producer:
        first, second = (producer.publish_nowait("t", value) for value in (b"a", b"b"))
        waiting = asyncio.ensure_future(first)
        await asyncio.sleep(0)
        waiting.cancel()
        assert (await second).offset == 1
        assert first.result().offset == 0


async def test_callbacks_are_called_from_the_loop(client: Client) -> None:
    called: list[int] = []
    async with client.producer() as producer:
        delivery = producer.publish_nowait("t", b"a")
        delivery.add_done_callback(lambda done: called.append(done.result().offset))
        await delivery
        await asyncio.sleep(0)
        assert called == [0]
        with pytest.raises(asyncio.InvalidStateError):
            producer.publish_nowait("t", b"b").result()


async def test_a_message_that_can_never_be_stored_is_refused_at_the_call(client: Client) -> None:
    async with client.producer() as producer:
        with pytest.raises(TypeError):
            producer.publish_nowait("t", 5)  # type: ignore[arg-type]
        with pytest.raises(errors.TooLarge):
            producer.publish_nowait("t", bytes(11 * 1024 * 1024))
        with pytest.raises(errors.TooLarge):
            producer.publish_nowait("t", b"x", key=bytes(5_000))
        with pytest.raises(errors.InvalidRequest):
            producer.publish_nowait("t", b"x", headers={"\x01": "ttl"})
        with pytest.raises(errors.InvalidRequest):
            producer.publish_nowait("t", b"x", idempotency_key="")


async def test_leaving_by_an_error_gives_up_what_is_unanswered(
    node: FlakyServer, client: Client
) -> None:
    node.script.append("hang")

    async def leave(producer: Producer) -> None:
        async with producer:
            delivery = producer.publish_nowait("t", b"a")
            producer.send()
            left.append(delivery)
            raise ZeroDivisionError

    left: list[Delivery] = []
    producer = client.producer()
    with pytest.raises(ZeroDivisionError):
        await leave(producer)
    delivery = left[0]
    assert isinstance(delivery.exception(), errors.Closed)
    with pytest.raises(errors.Closed):
        producer.publish_nowait("t", b"b")


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_batches_may_be_compressed(
    node: FlakyServer, client: Client, compression: str
) -> None:
    async with client.producer(compression=compression) as producer:
        for _ in range(100):
            producer.publish_nowait("t", b"the same again and again")
    assert node.values("t") == [b"the same again and again"] * 100
    assert len(node.asked[-1].body) < 1_000
