"""A Python producer on one core: the node's client, nats-py, or the client's encoder alone.

``producer.py --system sprawl|nats|encoder --addr host:port --seconds S`` prints one JSON line with
``rate`` and ``total``. Messages are 128 B; every 10,000 of them are flushed, that is answered, before
the next, and the rate counts from the first publish to the last flush.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import uvloop

PAYLOAD = b"x" * 128
FLUSH_EVERY = 10_000
YIELD_EVERY = 500
#: Records of one encoded batch: what the producer sends at 128 B and its default batch size.
ENCODER_BATCH = 500


async def repeat(
    seconds: float, publish: Callable[[], object], flush: Callable[[], Awaitable[object]]
) -> int:
    """Publishes until ``seconds`` passed and everything is flushed; returns how many."""
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end:
        for _ in range(FLUSH_EVERY // YIELD_EVERY):
            for _ in range(YIELD_EVERY):
                publish()
            await asyncio.sleep(0)
        await flush()
        count += FLUSH_EVERY
    return count


async def sprawl(addr: str, seconds: float) -> int:
    """The node's client and its batching producer."""
    from sprawl.client import Client

    async with Client([f"http://{addr}"]) as client, client.producer() as producer:
        return await repeat(seconds, lambda: producer.publish_nowait("t", PAYLOAD), producer.flush)


async def nats(addr: str, seconds: float) -> int:
    """nats-py; its ``publish`` is a coroutine that only queues."""
    import nats as client

    connection = await client.connect(f"nats://{addr}", pending_size=64 << 20)
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end:
        for _ in range(FLUSH_EVERY):
            await connection.publish("t", PAYLOAD)
        await connection.flush()
        count += FLUSH_EVERY
    await connection.close()
    return count


async def encoder(_addr: str, seconds: float) -> int:
    """The client's batch encoder, fed with the same payloads and nothing behind it."""
    from sprawl._native import encode_batch

    records = [(None, PAYLOAD, None, 1_795_437_296_789)] * ENCODER_BATCH
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end:
        for _ in range(20):
            encode_batch(records)
        count += 20 * ENCODER_BATCH
    return count


SYSTEMS = {"sprawl": sprawl, "nats": nats, "encoder": encoder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=SYSTEMS, required=True)
    parser.add_argument("--addr", default="")
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    began = time.perf_counter()
    count = uvloop.run(SYSTEMS[options.system](options.addr, options.seconds))
    passed = time.perf_counter() - began
    print(json.dumps({"rate": count / passed, "total": count, "seconds": passed}))


if __name__ == "__main__":
    main()
