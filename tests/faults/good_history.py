"""Makes histories that keep every guarantee, of any size, from a seed.

In: a seed and counts. Out: events in the order in which clients would have written them: several
producers that publish at once, refusals and unknown outcomes (some stored, some not), two readers
a partition, a group that commits, messages that expire, a crash, the final read.
"""

import random
from dataclasses import dataclass, field
from typing import Final

from tests.faults.checker import SECOND
from tests.faults.history import Event

_STEP_NS: Final = 1_000_000
_TTL_S: Final = 2
_READ_COUNT: Final = 20
_READERS: Final = ("reader-0", "reader-1")
GROUP: Final = "group"


@dataclass(slots=True)
class _Log:
    """One partition as the node has it."""

    topic: str
    partition: int
    entries: list[tuple[int, str, str]] = field(default_factory=list)
    short: set[int] = field(default_factory=set)
    end: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)


def good_history(
    seed: int, publishes: int = 400, partitions: int = 3, producers: int = 4, level: str = "disk"
) -> list[Event]:
    """A history of about ``publishes`` attempts at ``level``."""
    draw = random.Random(seed)
    logs = [_Log("topic", number) for number in range(partitions)]
    events: list[Event] = []
    now = 1_000 * SECOND
    sequences = [0] * producers
    crash_at = publishes // 2
    made = 0
    while made < publishes:
        busy = draw.sample(range(producers), draw.randint(1, producers))
        returns = []
        for producer in busy:
            log = draw.choice(logs)
            event = _publish(draw, log, producer, sequences[producer], now, level)
            sequences[producer] += 1
            returns.append(event)
            made += 1
        events += sorted(returns, key=lambda event: event["t_ret"])
        now += 3 * _STEP_NS
        if draw.random() < 0.2:
            log = draw.choice(logs)
            events += _poll(log, draw.choice(_READERS), now, draw.randint(1, _READ_COUNT))
            now += _STEP_NS
        if made >= crash_at:
            crash_at = publishes + producers
            events.append({"t": now, "fault": "Kill9", "target": "node", "phase": "start"})
            events.append({"t": now + 1, "fault": "Kill9", "target": "node", "phase": "done"})
            now += SECOND
            events.append({"t": now, "fault": "Kill9", "target": "node", "phase": "stop"})
            for log in logs:
                # A node goes on above what it may have promised.
                log.end += draw.randint(0, 5)
    for log in logs:
        for reader in _READERS:
            events += _poll(log, reader, now, publishes)
            now += _STEP_NS
    now += (_TTL_S + 2) * SECOND
    return events + [_final(log, now) for log in logs]


def _publish(
    draw: random.Random, log: _Log, producer: int, seq: int, now: int, level: str
) -> Event:
    msg_id = f"{producer}-{seq}"
    event: Event = {
        "t_inv": now + draw.randint(0, _STEP_NS),
        "t_ret": now + _STEP_NS + draw.randint(0, _STEP_NS),
        "proc": f"producer-{producer}",
        "op": "pub",
        "topic": log.topic,
        "partition": log.partition,
        "slot": log.partition,
        "producer": f"producer-{producer}",
        "seq": seq,
        "msg_id": msg_id,
        "hash": f"{draw.getrandbits(64):016x}",
        "level": level,
        "node": "node",
    }
    chance = draw.random()
    is_stored = chance < 0.94
    if is_stored:
        offset = log.end
        log.end += 1
        log.entries.append((offset, msg_id, event["hash"]))
        if chance < 0.05:
            event["ttl_s"] = _TTL_S
            log.short.add(offset)
    if chance < 0.9:
        return event | {
            "outcome": "ok",
            "status": 201,
            "offset": offset,
            "epoch": 1,
            "reached": level,
        }
    if chance < 0.97:
        return event | {"outcome": "unknown", "status": None}
    return event | {"outcome": "fail", "status": 503}


def _poll(log: _Log, reader: str, now: int, count: int) -> list[Event]:
    begin = log.positions.get(reader, 0)
    seen = [[*entry, 1] for entry in log.entries[begin : begin + count]]
    # The log keeps entries in the order of their offsets, so a place in it is a position.
    log.positions[reader] = begin + len(seen)
    poll: Event = {
        "t_inv": now,
        "t_ret": now + _STEP_NS // 2,
        "proc": reader,
        "op": "poll",
        "topic": log.topic,
        "partition": log.partition,
        "group": GROUP if reader == _READERS[0] else None,
        "assignment": 0,
        "seen": seen,
    }
    if begin == 0:
        poll["from"] = 0
    if not seen or reader != _READERS[0]:
        return [poll]
    commit: Event = {name: poll[name] for name in ("proc", "topic", "partition", "group")}
    commit |= {"op": "commit", "offset": seen[-1][0] + 1, "outcome": "ok", "generation": 1}
    return [poll, commit | {"t_inv": poll["t_ret"] + 1, "t_ret": poll["t_ret"] + 2}]


def _final(log: _Log, now: int) -> Event:
    kept = [[*entry, 1] for entry in log.entries if entry[0] not in log.short]
    return {
        "t_inv": now,
        "t_ret": now + _STEP_NS,
        "proc": "final",
        "op": "poll",
        "topic": log.topic,
        "partition": log.partition,
        "from": 0,
        "seen": kept,
        "final": True,
        "up_to_date": True,
    }
