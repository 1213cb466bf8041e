"""What is measured: every row with the load each system gets, and how one sample of it is taken.

A row's ``value`` is what its budget is about; the unit stands beside it. Rates are messages (or
deliveries) per second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NODE = "sprawl"
#: Window per connection and messages per write of native publishers; the node's pipeline is the same.
WINDOW, BATCH = 1000, 100


@dataclass(frozen=True)
class Row:
    """``loads`` maps a system to the generator's arguments (``{addr}`` and times are added)."""

    name: str
    title: str
    unit: str
    loads: Mapping[str, tuple[str, ...]]
    #: ``rate``: a timed load; ``count``: a load with an end of its own; ``arrive``: the same, a stall
    #: counts for a peer; ``python``: a producer program;
    #: ``start``, ``idle``: the server alone; ``retain``: memory per message of a load;
    #: ``hold``: memory per held connection; ``stall``: memory of a stalled reader under a load.
    how: str = "rate"
    #: The bytes of a message that are not overhead (``retain``, per topic).
    payload_bytes: int = 0
    #: The system that runs under a name of ``loads``, where that is not the one of this name.
    runs: Mapping[str, str] = field(default_factory=dict)

    @property
    def peers(self) -> Sequence[str]:
        return [name for name in self.loads if name != NODE]


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def publish_rows() -> list[Row]:
    """Single publishes: raw and JSON at 1, 16 and 64 connections, against the same bytes elsewhere."""
    rows = []
    for form, options in (("raw", "--path /v1/topics/t/messages"), ("json", "--body json-publish")):
        for count in (1, 16, 64):
            post = f"http-post --connections {count}"
            loads = {
                NODE: words(f"{post} {options}"),
                "nchan": words(f"{post} --path /pub/t"),
                "uvicorn": words(f"{post} {options}"),
                "ceiling": words(f"{post} {options}"),
            }
            title = f"single publish, {form}, 128 B, {count} connections, kept"
            rows.append(Row(f"publish-{form}-{count}", title, "messages/s", loads))
    return rows


def batch_rows() -> list[Row]:
    """Batches of 100, pipelined on 16 connections, against pipelined XADD and PUB."""
    rows = []
    native = f"--connections 16 --batch {BATCH} --window {WINDOW}"
    for form in ("binary", "json", "ndjson"):
        node = (
            f"http-post --connections 16 --form {form} --batch {BATCH} --pipeline {WINDOW // BATCH}"
        )
        loads = {NODE: words(node), "redis": words(f"redis-xadd {native}")}
        if form == "binary":
            loads["nats"] = words(f"nats-pub {native}")
        title = f"{form} batches of {BATCH} x 128 B, pipelined, kept"
        rows.append(Row(f"batch-{form}", title, "messages/s", loads))
    return rows


def delivery_rows() -> list[Row]:
    """Publish and deliver: most messages, latency by schedule, fan-out."""
    native = f"--batch {BATCH} --window 4000"
    # Counted up to nchan's stall: channels of 30,000 messages one after another.
    short = "--connections 16 --messages 30000 --passes 6"
    rows = [
        Row(
            "deliver-binary",
            "publish + 1 binary reader, most messages",
            "messages/s",
            {
                NODE: words(f"pubsub --kind sprawl-binary {native}"),
                "nats": words(f"pubsub --kind nats {native}"),
            },
        ),
        Row(
            "deliver-sse",
            "publish on 16 connections + 1 SSE reader",
            "messages/s",
            {
                NODE: words(f"pubsub --kind sprawl-sse {short}"),
                "nchan": words(f"pubsub --kind nchan-sse {short}"),
            },
            how="count",
        ),
        Row(
            "latency-5000",
            "open loop, 5,000 messages/s, 1 binary reader",
            "messages/s",
            {
                NODE: words("pubsub --kind sprawl-binary --rate 5000"),
                "nats": words("pubsub --kind nats --rate 5000"),
                "redis": words("pubsub --kind redis-pubsub --rate 5000"),
            },
        ),
        Row(
            "latency-5000-sse",
            "open loop, 5,000 messages/s, HTTP publish on 4 connections, 1 SSE reader",
            "messages/s",
            {
                NODE: words("pubsub --kind sprawl-sse --rate 5000 --connections 4"),
                # Its channel ends at 32,768 messages: 2.5 s of them fit.
                "nchan": words("pubsub --kind nchan-sse --rate 5000 --connections 4"),
            },
        ),
    ]
    for count in (100, 1000):
        flight = f"--in-flight 4 --readers {count}"
        loads = {
            NODE: words(f"pubsub --kind sprawl-binary {flight}"),
            "nats": words(f"pubsub --kind nats {flight}"),
            "redis": words(f"pubsub --kind redis-pubsub {flight}"),
            "mosquitto": words(f"pubsub --kind mqtt {flight}"),
        }
        title = f"fan-out to {count} binary readers, 4 messages in flight"
        rows.append(Row(f"fanout-binary-{count}", title, "deliveries/s", loads))
        for form in ("sse", "ws"):
            http = f"{flight} --connections 4"
            loads = {
                NODE: words(f"pubsub --kind sprawl-{form} {http}"),
                "nchan": words(f"pubsub --kind nchan-{form} {http}"),
            }
            title = f"fan-out to {count} {form} readers, 4 messages in flight"
            rows.append(Row(f"fanout-{form}-{count}", title, "deliveries/s", loads))
    return rows


def disk_rows() -> list[Row]:
    """Publishes that are answered after their fsync, against peers that do the same."""
    rows = []
    for count in (1, 64, 256):
        single = f"--connections {count} --batch 1 --window 1"
        loads = {
            NODE: words(f"http-post --connections {count} --path /v1/topics/t/messages"),
            "redis-always": words(f"redis-xadd {single}"),
        }
        if count == 64:
            loads["jetstream-always"] = words(f"jetstream-pub {single}")
            loads["raw-append"] = ()
        title = f"single publish at disk, 128 B, {count} connections"
        rows.append(Row(f"disk-{count}", title, "messages/s", loads, runs={NODE: "sprawl-disk"}))
    batches = f"--connections 16 --batch {BATCH} --window {WINDOW}"
    post = f"http-post --connections 16 --form binary --batch {BATCH} --pipeline {WINDOW // BATCH}"
    loads = {NODE: words(post), "redis-always": words(f"redis-xadd {batches}")}
    title = f"binary batches of {BATCH} x 128 B at disk, pipelined"
    rows.append(Row("disk-batch", title, "messages/s", loads, runs={NODE: "sprawl-disk"}))
    loads = {
        NODE: words(f"{post} --path /v1/topics/t/messages?durability=memory"),
        "redis-everysec": words(f"redis-xadd {batches}"),
    }
    title = f"binary batches of {BATCH} x 128 B at memory, written behind, pipelined"
    rows.append(Row("disk-behind", title, "messages/s", loads, runs={NODE: "sprawl-disk"}))
    return rows


def memory_rows() -> list[Row]:
    """Bytes that stay: idle, per topic, per message, per reader; and the time to ready."""
    alone = dict.fromkeys((NODE, "nats", "redis", "nchan", "mosquitto"), ())
    fill = "--messages 1000000"
    pipelined = "--connections 4 --pipeline 50"
    xadd = f"redis-xadd --connections 4 {fill}"
    jetstream = f"jetstream-pub --connections 4 {fill}"
    binary = f"http-post --form binary --batch {BATCH} --pipeline 10 {fill}"
    holders = {NODE: "sprawl-sse", "nchan": "nchan-sse", "redis": "redis-pubsub", "nats": "nats"}
    return [
        Row("start-ready", "start of the process to ready", "ms", alone, "start"),
        Row("memory-idle", "idle node, RSS of its process", "bytes", alone, "idle"),
        Row(
            "memory-topics",
            "1 M topics of one 128 B message, beyond the message",
            "bytes/topic",
            {NODE: words(f"http-post --path /v1/topics/m.{{n}}/messages {pipelined} {fill}")},
            "retain",
            payload_bytes=128,
        ),
        Row(
            "memory-batches",
            "1 M x 128 B kept in one topic, batches of 100",
            "bytes/message",
            {NODE: words(binary), "redis": words(xadd), "jetstream": words(jetstream)},
            "retain",
        ),
        Row(
            "memory-singly",
            "1 M x 128 B kept in one topic, published singly",
            "bytes/message",
            {
                NODE: words(f"http-post {pipelined} {fill}"),
                "redis": words(xadd),
                "jetstream": words(jetstream),
            },
            "retain",
        ),
        Row(
            "memory-readers",
            "1,000 idle readers (SSE; SUBSCRIBE and SUB elsewhere)",
            "bytes/reader",
            {name: words(f"idle --kind {kind} --readers 1000") for name, kind in holders.items()},
            "hold",
        ),
        Row(
            "memory-stall",
            "one stalled SSE reader under full load, beyond the same load without it",
            "bytes",
            {NODE: words("http-post --connections 16 --topic s")},
            "stall",
        ),
        Row(
            "million",
            "1 M messages through one topic to one SSE and one binary reader",
            "deliveries",
            {
                NODE: words("million --connections 16 --messages 1000000"),
                "nchan-unstored": words(
                    "pubsub --kind nchan-sse --connections 16 --messages 1000000"
                ),
            },
            "arrive",
        ),
    ]


PRODUCER = Row(
    "client-producer",
    "the Python client's producer, 128 B, one core each",
    "messages/s",
    {NODE: ("sprawl",), "nats": ("nats",), "encoder": ("encoder",)},
    "python",
)

ROWS = {
    row.name: row
    for row in [
        *publish_rows(),
        *batch_rows(),
        PRODUCER,
        *delivery_rows(),
        *disk_rows(),
        *memory_rows(),
    ]
}
