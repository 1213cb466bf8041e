"""What a call into the engine costs from Python: best of seven rounds, in nanoseconds per message.

``python -m bench.micro.boundary`` prints a line per operation. Nothing is asserted: seconds on a shared machine are for
people, the gate counts instructions.
"""

import time
from collections.abc import Callable

from sprawl._native import Engine, decode_batches, encode_batch

PAYLOAD = b"x" * 128
NOW_NS = 1_795_437_296_000_000_000
ROUNDS = 7


def engine() -> Engine:
    """An engine with room for every round."""
    return Engine(
        memory_bytes_max=1 << 30,
        chunk_bytes=1 << 20,
        dedup_keys_max=1000,
        topics_max=1000,
        seed=1,
        node_id="micro",
    )


def request(content_type: str, body: bytes) -> bytes:
    """One publish to topic ``t``."""
    head = (
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: localhost:8080\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def publish(native: Engine, data: bytes, calls: int) -> Callable[[], None]:
    """``calls`` reads of the same bytes on one connection, a tick after each."""
    connection = native.connection(1, True)

    def run() -> None:
        for _ in range(calls):
            connection.receive(data, NOW_NS)
            native.end_tick(NOW_NS)

    return run


def report(name: str, messages: int, run: Callable[[], None]) -> None:
    """Prints the best round."""
    best = min(_timed(run) for _ in range(ROUNDS))
    print(f"{name:<44} {best / messages:10.1f} ns per message")


def _timed(run: Callable[[], None]) -> int:
    before = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - before


def main() -> None:
    """Runs every operation."""
    records = [(None, PAYLOAD, None, 1_795_437_296_000)] * 100
    batch = encode_batch(records)
    single = request("application/octet-stream", PAYLOAD)
    report("publish, one request a read", 2_000, publish(engine(), single, 2_000))
    report("publish, 16 requests a read", 3_200, publish(engine(), single * 16, 200))
    batched = request("application/x-sprawl-batch", batch)
    report("publish, a batch of 100 a read", 20_000, publish(engine(), batched, 200))
    native = engine()
    publish(native, batched, 100)()
    for form in ("ndjson", "sse", "ws-json", "binary"):

        def read(form: str = form) -> None:
            native.end_tick(NOW_NS)  # forgets what readers of the last tick shared
            reader = native.reader("t", b"from=earliest", form, None, NOW_NS)
            while reader.pull(65_536, 1 << 40, NOW_NS) is not None:
                pass

        report(f"read as {form}", 10_000, read)
    report("encode a batch of 100", 100, lambda: encode_batch(records) and None)
    report("decode a batch of 100", 100, lambda: decode_batches(batch) and None)


if __name__ == "__main__":
    main()
