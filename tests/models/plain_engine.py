"""A slow, obvious engine: what the use cases need of the compiled one, over lists.

One partition per topic unless more are asked for; everything goes to partition 0.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs

from sprawl._native import Page
from sprawl.broker.engine import (
    PartitionInfo,
    Stats,
    StoredMessage,
    TierHeld,
    TopicInfo,
    TopicSummary,
)
from sprawl.errors import Conflict, Expired, NotFound
from sprawl.log.reads import Want

DEFAULTS: dict[str, object] = {
    "partitions": 1,
    "replicas": 3,
    "retention": {"age_s": 0, "bytes": 0, "count": 0},
    "ttl_s": 0,
    "durability": "default",
    "discard": "old",
    "dedup_window_s": 600,
    "compaction": False,
    "max_message_bytes": 10 * 1024 * 1024,
}


@dataclass
class PlainTopic:
    name: str
    topic_id: str
    config: dict[str, object]
    created_ns: int
    messages: list[StoredMessage] = field(default_factory=list)


class PlainReader:
    def __init__(self, topic: PlainTopic, form: str, offset: int) -> None:
        self.topic, self.form, self.offset = topic, form, offset
        self.messages = 0
        self.is_cold = False
        self.limit: int | None = None

    @property
    def ended(self) -> bool:
        return self.limit is not None and self.offset >= self.limit

    @property
    def more(self) -> bool:
        return self.offset < len(self.topic.messages)

    @property
    def cursor(self) -> str:
        return f"at-{self.offset}"

    def pull(self, bytes_max: int, messages_max: int, now_ns: int) -> bytes | None:
        given: list[bytes] = []
        if self.is_cold:
            messages_max = 0
        while self.more and len(given) < messages_max:
            item = self._item(self.offset)
            if given and sum(map(len, given)) + len(item) > bytes_max:
                break
            given.append(item)
            self.offset += 1
        self.messages = len(given)
        if not given:
            return None
        return b"".join(given)

    def _item(self, offset: int) -> bytes:
        stored = self.topic.messages[offset]
        if self.form == "ws-binary":
            return frame(2, stored["payload"])
        document = {
            "id": f"{self.topic.topic_id}-0-{offset}",
            "offset": offset,
            "payload": stored["payload"].decode(),
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        return text + b"\n" if self.form == "ndjson" else frame(1, text)


def frame(opcode: int, data: bytes) -> bytes:
    """An unmasked WebSocket frame of a whole message."""
    head = bytes([0x80 | opcode])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 65_536:
        return head + b"\x7e" + len(data).to_bytes(2, "big") + data
    return head + b"\x7f" + len(data).to_bytes(8, "big") + data


class PlainEngine:
    """Topics in a dictionary. ``expired`` names offsets that are gone by age.

    ``cold`` names offsets that only the disk has: any page gives them. ``mark_now`` is what
    publishes and topic changes wait for, 0 without a disk tier.
    """

    def __init__(self) -> None:
        self.levels: tuple[str, ...] = ("memory",)
        self.mark_now = 0
        self.cold: set[tuple[str, int]] = set()
        self.topics: dict[str, PlainTopic] = {}
        self.deleted: dict[str, PlainTopic] = {}
        self.expired: set[tuple[str, int]] = set()
        self.keys: dict[str, tuple[PlainTopic, int]] = {}
        self.readers: list[PlainReader] = []
        self.now_ns = 1_767_225_600_000_000_000
        self.extra_counters: dict[str, int] = {}

    def publish(self, topic: str, payload: bytes, key: str | None = None) -> str:
        if topic not in self.topics:
            self.topic_put(topic, {})
        held = self.topics[topic]
        offset = len(held.messages)
        held.messages.append(
            {
                "topic": topic,
                "payload": payload,
                "key": None,
                "headers": [],
                "content_type": "text/plain",
                "timestamp_ms": self.now_ns // 1_000_000,
                "ttl_s": 0,
                "append_ns": self.now_ns,
            }
        )
        if key is not None:
            self.keys[key] = (held, offset)
        return f"{held.topic_id}-0-{offset}"

    def topic_put(
        self, name: str, config: dict[str, object]
    ) -> Literal["created", "updated", "same"]:
        held = self.topics.get(name)
        if held is None:
            topic_id = f"{'a' * 12}{'abcdefghijklmnopqrstuvwxyz234567'[len(self.topics) % 32]}"
            self.topics[name] = PlainTopic(name, topic_id, {**DEFAULTS, **config}, self.now_ns)
            return "created"
        asked = config.get("partitions")
        if asked is not None and int(str(asked)) < int(str(held.config["partitions"])):
            raise Conflict(f"topic {name!r} has more partitions", location="/partitions")
        changed = {**held.config, **config}
        if changed == held.config:
            return "same"
        held.config = changed
        return "updated"

    def topic_get(self, name: str) -> TopicInfo | None:
        held = self.topics.get(name)
        if held is None:
            return None
        partitions = [self._partition(held, n) for n in range(int(str(held.config["partitions"])))]
        return {
            "name": name,
            "topic_id": held.topic_id,
            "config": held.config,
            "partitions": partitions,
            "created_ns": held.created_ns,
        }

    def _partition(self, held: PlainTopic, number: int) -> PartitionInfo:
        messages = held.messages if number == 0 else []
        in_memory: TierHeld = {
            "records": len(messages),
            "bytes": sum(len(message["payload"]) for message in messages),
            "oldest_ns": messages[0]["append_ns"] if messages else None,
            "newest_ns": messages[-1]["append_ns"] if messages else None,
        }
        return {
            "partition": number,
            "slot": 7,
            "epoch": 1,
            "low_offset": 0,
            "high_offset": len(messages),
            **in_memory,
            "tiers": {"memory": in_memory},
        }

    def topics_page(
        self, prefix: str, after: int, limit: int
    ) -> tuple[list[TopicSummary], int | None]:
        numbered = [(n, t) for n, t in enumerate(self.topics.values(), 1) if n > after]
        fitting = [(n, t) for n, t in numbered if t.name.startswith(prefix)]
        page = fitting[:limit]
        next_after = page[-1][0] if len(fitting) > limit else None
        return [self._summary(topic) for _, topic in page], next_after

    def _summary(self, held: PlainTopic) -> TopicSummary:
        first = self._partition(held, 0)
        return {
            "name": held.name,
            "topic_id": held.topic_id,
            "partitions": int(str(held.config["partitions"])),
            "records": first["records"],
            "bytes": first["bytes"],
            "oldest_ns": first["oldest_ns"],
            "newest_ns": first["newest_ns"],
            "created_ns": held.created_ns,
            "tiers": first["tiers"],
        }

    def topic_delete(self, name: str, now_ns: int) -> bool:
        held = self.topics.pop(name, None)
        if held is None:
            return False
        self.deleted[name] = held
        return True

    def topic_undelete(self, name: str) -> bool:
        held = self.deleted.pop(name, None)
        if held is None:
            return False
        self.topics[name] = held
        return True

    def mark(self) -> int:
        return self.mark_now

    def message(
        self, topic_id: str, partition: int, offset: int, page: Page | None = None
    ) -> StoredMessage | Want | None:
        if (topic_id, offset) in self.expired:
            raise Expired(f"offset {offset} is gone by age")
        if (topic_id, offset) in self.cold and page is None:
            return (1, partition, offset, 0, offset + 1)
        for held in self.topics.values():
            if held.topic_id == topic_id and partition == 0 and offset < len(held.messages):
                return held.messages[offset]
        return None

    def message_by_key(self, key: str) -> tuple[str, int, int] | None:
        if key not in self.keys:
            return None
        held, offset = self.keys[key]
        return held.topic_id, 0, offset

    def reader(
        self, topic: str, query: bytes, form: str, last_event_id: str | None, now_ns: int
    ) -> PlainReader:
        held = self.topics.get(topic)
        if held is None:
            raise NotFound(f"topic {topic!r} does not exist", code="topic_not_found")
        start = parse_qs(query.decode()).get("from", ["earliest"])[0]
        offset = len(held.messages) if start == "latest" else 0
        if last_event_id is not None and (match := re.fullmatch(r"at-(\d+)", last_event_id)):
            offset = int(match[1])
        reader = PlainReader(held, form, offset)
        self.readers.append(reader)
        return reader

    def publish_json(self, topic: str, line: bytes, now_ns: int) -> tuple[bytes, int]:
        members = json.loads(line)
        if not isinstance(members, dict) or "payload" not in members:
            return b'{"type":"urn:sprawl:problem:missing_member","status":400}\n', 0
        message_id = self.publish(topic, members["payload"].encode())
        receipt = json.dumps({"id": message_id, "topic": topic}).encode() + b"\n"
        return receipt, self.mark_now

    def stats(self) -> Stats:
        held = [m for topic in self.topics.values() for m in topic.messages]
        size = sum(len(message["payload"]) for message in held)
        counters = {
            "messages_received": len(held),
            "message_bytes": size,
            "route_cache_hits": 9,
            "route_cache_misses": 1,
            **self.extra_counters,
        }
        gauges = {
            "topics": len(self.topics),
            "messages": len(held),
            "log_bytes": size,
            "memory_bytes_max": 1 << 20,
        }
        return {"counters": counters, "gauges": gauges}
