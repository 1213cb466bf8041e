"""Decides whether a history keeps the guarantees: one pass over its events, partition by partition.

In: events of ``history``. Out: a ``Report`` of findings and figures. Invariants: a check never
passes for want of evidence (a partition with acknowledged messages and no whole final read is a
finding); time and memory are linear in events, but for sorting what is almost sorted.
Source: Jepsen's set, queue and kafka checkers; the definitions are those of the guarantees page.
"""

import gc
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from operator import attrgetter
from typing import Any, Final

from tests.faults.history import Event

SECOND: Final = 1_000_000_000
# Seconds that a delivery may come after its time to live, and a leader may not know of its successor.
LATE_S: Final = 1
STALE_S: Final = 2
EXAMPLES_MAX: Final = 5
WARNINGS: Final = frozenset({"late-delivery"})
# How strong a level is; what is asked for must have been reached.
STRENGTH: Final = {"memory": 0, "disk": 1, "quorum": 1, "quorum-disk": 2, "cloud": 3}
# Faults that end a process, and what of the levels they may take with them.
_CRASHES: Final = frozenset(
    {"Kill9", "PowerCut", "SyscallKill", "SyscallError", "Restart", "BitFlip", "Truncate"}
)
_ALLOWED_GAPS: Final = frozenset({"retention", "expired", "deleted", "compacted"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise."""

    check: str
    where: str
    text: str

    @property
    def is_fatal(self) -> bool:
        return self.check not in WARNINGS


@dataclass(slots=True)
class Report:
    """What was found; ``counts`` has every finding, ``findings`` the first few of each check."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0
    slowest_recovery_s: float = 0

    @property
    def is_good(self) -> bool:
        """True when nothing fatal was found."""
        return not self.counts.keys() - WARNINGS

    def add(self, check: str, where: str, text: str) -> None:
        self.counts[check] += 1
        if self.counts[check] <= EXAMPLES_MAX:
            self.findings.append(Finding(check, where, text))

    def lines(self) -> list[str]:
        """The report as text, the verdict last."""
        found = [f"{f.check}: {f.where}: {f.text}" for f in self.findings]
        more = [
            f"{check}: {count} in all"
            for check, count in self.counts.items()
            if count > EXAMPLES_MAX
        ]
        figures = [f"{name}: {count}" for name, count in sorted(self.figures.items())]
        figures.append(f"longest gap between successes: {self.longest_gap_s:.3f} s")
        figures.append(f"slowest recovery from a fault: {self.slowest_recovery_s:.3f} s")
        fatal = sum(n for check, n in self.counts.items() if check not in WARNINGS)
        verdict = "good" if self.is_good else f"broken: {fatal} findings"
        return [*found, *more, *figures, verdict]


@dataclass(slots=True)
class _Publish:
    """One attempt to publish; ``offset`` is -1 until an answer or a read tells it."""

    msg_id: str
    t_inv: int
    t_ret: int
    outcome: str
    offset: int
    hash: str
    producer: str
    seq: int
    level: str
    reached: str
    epoch: int
    ttl_s: int


@dataclass(slots=True)
class _Partition:
    """The events of one partition, in the order of the file."""

    publishes: list[_Publish] = field(default_factory=list)
    polls: list[Event] = field(default_factory=list)
    moves: list[Event] = field(default_factory=list)
    audits: list[Event] = field(default_factory=list)


@dataclass(slots=True)
class _Input:
    """A whole history, sorted out."""

    partitions: dict[tuple[str, int], _Partition] = field(
        default_factory=lambda: defaultdict(_Partition)
    )
    slots: dict[Any, list[_Publish]] = field(default_factory=lambda: defaultdict(list))
    successes: list[tuple[int, int]] = field(default_factory=list)
    faults: list[Event] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)
    home: dict[str, tuple[str, int]] = field(default_factory=dict)


def check(events: Iterable[Event], *, allows_damage: bool = False) -> Report:
    """Checks a whole history; with ``allows_damage`` a loss that a gap names as damage is none."""
    # Millions of small objects and no cycles: the collector would look at them again and again.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return _check(events, allows_damage)
    finally:
        if was_collecting:
            gc.enable()


def _check(events: Iterable[Event], allows_damage: bool) -> Report:
    report = Report()
    history = _sort_out(events, report)
    # Until a process is dead it acknowledges, also after the decision to end it.
    crashes = [f["t"] for f in history.faults if f["fault"] in _CRASHES and f["phase"] == "done"]
    last_crash = max(crashes, default=-1)
    reasons = _ALLOWED_GAPS | ({"damaged"} if allows_damage else set())
    for (topic, number), partition in history.partitions.items():
        one = _Check(f"{topic}/{number}", partition, history, report, last_crash, reasons)
        one.run((topic, number))
    for slot, publishes in history.slots.items():
        _check_epochs(f"slot {slot}", publishes, report)
    _measure(history, report)
    return report


def _sort_out(events: Iterable[Event], report: Report) -> _Input:
    history = _Input()
    partitions, figures = history.partitions, report.figures
    for event in events:
        if "fault" in event:
            history.faults.append(event)
            continue
        op = event["op"]
        if op == "pub":
            publish = _publish_of(event)
            partition = (event["topic"], event["partition"])
            partitions[partition].publishes.append(publish)
            history.home[publish.msg_id] = partition
            figures[f"publishes {publish.outcome}"] += 1
            if publish.outcome == "ok":
                history.successes.append((publish.t_ret, publish.t_inv))
                if publish.epoch >= 0:
                    history.slots[event.get("slot", partition)].append(publish)
            if node := event.get("node"):
                history.nodes.add(node)
        elif op == "poll":
            partitions[event["topic"], event["partition"]].polls.append(event)
        elif op in ("commit", "seek"):
            partitions[event["topic"], event["partition"]].moves.append(event)
        elif op == "audit":
            partitions[event["topic"], event["partition"]].audits.append(event)
    return history


def _publish_of(event: Event) -> _Publish:
    get = event.get
    offset = get("offset")
    epoch = get("epoch")
    level = get("level") or "memory"
    return _Publish(
        event["msg_id"],
        event["t_inv"],
        event["t_ret"],
        event["outcome"],
        -1 if offset is None else offset,
        event["hash"],
        get("producer") or event["proc"],
        get("seq", -1),
        level,
        get("reached") or level,
        -1 if epoch is None else epoch,
        get("ttl_s") or 0,
    )


@dataclass(slots=True)
class _Check:
    """All checks of one partition, in the order in which they build on each other."""

    where: str
    partition: _Partition
    history: _Input
    report: Report
    last_crash: int
    gap_reasons: frozenset[str] | set[str]
    by_id: dict[str, _Publish] = field(default_factory=dict)
    id_at: dict[int, str] = field(default_factory=dict)
    offset_of: dict[str, int] = field(default_factory=dict)
    final: set[int] = field(default_factory=set)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    lost_tails: list[tuple[int, int]] = field(default_factory=list)
    t_final: int = -1
    # What was read at an offset before ``t_known``.
    known: dict[int, list[Any]] = field(default_factory=dict)
    t_known: int = -1

    def run(self, partition: tuple[str, int]) -> None:
        self.by_id = {publish.msg_id: publish for publish in self.partition.publishes}
        self._receipts()
        for poll in self.partition.polls:
            self._poll(poll, partition)
        self._final_read()
        self._order()
        self._readers()
        self._commits()
        self._audits()

    def _say(self, check: str, text: str) -> None:
        self.report.add(check, self.where, text)

    def _receipts(self) -> None:
        for publish in self.partition.publishes:
            if publish.outcome != "ok":
                continue
            if publish.offset < 0:
                self._say("inconsistent-offset", f"{publish.msg_id} acknowledged without an offset")
                continue
            self._place(publish.offset, publish.msg_id)
            if STRENGTH[publish.reached] < STRENGTH[publish.level]:
                self._say(
                    "overstated",
                    f"{publish.msg_id} asked for {publish.level} and was acknowledged at "
                    f"{publish.reached}",
                )

    def _place(self, offset: int, msg_id: str) -> None:
        """Offset to message is a function, and so is message to offset."""
        if self.id_at.setdefault(offset, msg_id) != msg_id:
            self._say("inconsistent-offset", f"offset {offset}: {self.id_at[offset]} and {msg_id}")
        if self.offset_of.setdefault(msg_id, offset) != offset:
            self._say("duplicate-log", f"{msg_id} at {self.offset_of[msg_id]} and {offset}")

    def _poll(self, poll: Event, partition: tuple[str, int]) -> None:
        by_id, id_at, offset_of = self.by_id, self.id_at, self.offset_of
        seen = poll.get("seen", ())
        known, t_ret = self.known, poll["t_ret"]
        for entry in seen:
            offset = entry[0]
            if known.get(offset) == entry and t_ret >= self.t_known:
                # Seen before, just so, and found in order then.
                continue
            _, msg_id, content, attempt = entry
            publish = by_id.get(msg_id)
            if publish is None:
                home = self.history.home.get(msg_id)
                why = "published by nobody" if home is None else f"published to {home}"
                self._say("phantom", f"offset {offset}: {msg_id} was {why} and not to {partition}")
                continue
            if publish.outcome == "fail":
                self._say("phantom", f"offset {offset}: {msg_id} was refused")
            if publish.t_inv > t_ret:
                self._say("phantom", f"offset {offset}: {msg_id} was read before it was published")
            if publish.hash != content:
                self._say("wrong-bytes", f"offset {offset}: {msg_id} {content} for {publish.hash}")
            if id_at.get(offset) != msg_id or offset_of.get(msg_id) != offset:
                self._place(offset, msg_id)
            if attempt > 1:
                self.report.figures["redeliveries"] += 1
            if publish.ttl_s:
                if self._is_late(publish, poll):
                    self._say("late-delivery", f"{msg_id} after its {publish.ttl_s} s")
            elif attempt == 1:
                known[offset] = entry
        self.t_known = max(self.t_known, t_ret)
        self.report.figures["messages read"] += len(seen)
        for first, end, reason in poll.get("gaps", ()):
            self.report.figures[f"gaps {reason}"] += 1
            if reason in self.gap_reasons:
                self.gaps.append((first, end))
            elif reason == "lost_tail":
                self.lost_tails.append((first, end))
        if poll.get("final"):
            self.final.update(entry[0] for entry in seen)
            self.t_final = max(self.t_final, poll["t_ret"])

    @staticmethod
    def _is_late(publish: _Publish, poll: Event) -> bool:
        """The latest append is the answer; without one it may have been any time later."""
        if publish.outcome != "ok":
            return False
        end: int = publish.t_ret + (publish.ttl_s + LATE_S) * SECOND
        return bool(poll["t_inv"] > end)

    def _final_read(self) -> None:
        acked = [p for p in self.partition.publishes if p.outcome == "ok" and p.offset >= 0]
        if not acked:
            return
        final = [poll for poll in self.partition.polls if poll.get("final")]
        if not any(poll.get("up_to_date") for poll in final):
            self._say("no-final-read", f"{len(acked)} acknowledged, the final read is not whole")
            return
        highest = max(self.final, default=-1)
        for publish in acked:
            self.report.figures[f"acknowledged at {publish.reached}"] += 1
            if publish.offset in self.final:
                continue
            self._missing(publish, is_middle=publish.offset < highest)

    def _missing(self, publish: _Publish, *, is_middle: bool) -> None:
        if publish.ttl_s:
            if self.t_final < publish.t_inv + publish.ttl_s * SECOND:
                self._say("early-expiry", f"{publish.msg_id} before its {publish.ttl_s} s")
                return
            self.report.figures["expired"] += 1
            return
        if any(first <= publish.offset < end for first, end in self.gaps):
            self.report.figures["removed, named by a gap"] += 1
            return
        if publish.reached == "memory" and publish.t_inv <= self.last_crash:
            if any(first <= publish.offset < end for first, end in self.lost_tails):
                self.report.figures["lost at memory, allowed"] += 1
            else:
                self._say("lost-unnamed", f"{publish.msg_id} {publish.offset}, in no gap")
            return
        check = "lost-middle" if is_middle else "lost-write"
        self._say(check, f"{publish.msg_id} acknowledged at {publish.reached}, {publish.offset}")

    def _order(self) -> None:
        """A message is above every one that was acknowledged before it was sent."""
        offset_of = self.offset_of
        known = [
            (publish, publish.offset if publish.offset >= 0 else offset_of.get(publish.msg_id, -1))
            for publish in self.partition.publishes
        ]
        sent = [pair for pair in known if pair[1] >= 0]
        sent.sort(key=lambda pair: pair[0].t_inv)
        answered = [pair for pair in sent if pair[0].outcome == "ok"]
        answered.sort(key=lambda pair: pair[0].t_ret)
        highest, highest_id = -1, ""
        of_producer: dict[str, tuple[int, int]] = {}
        is_strict = len(self.history.nodes) < 2
        at, end = 0, len(answered)
        for publish, offset in sent:
            while at < end and answered[at][0].t_ret < publish.t_inv:
                before, before_offset = answered[at]
                if before_offset > highest:
                    highest, highest_id = before_offset, before.msg_id
                last = of_producer.get(before.producer)
                if last is None or before_offset > last[0]:
                    of_producer[before.producer] = (before_offset, before.seq)
                at += 1
            if offset < highest and (is_strict or publish.reached.startswith("quorum")):
                self._say(
                    "realtime-order", f"{publish.msg_id} {offset} after {highest_id} {highest}"
                )
            last = of_producer.get(publish.producer)
            if last is not None and offset < last[0] and last[1] < publish.seq:
                self._say(
                    "reorder", f"{publish.msg_id} {offset}, sequence {publish.seq} of one producer"
                )

    def _readers(self) -> None:
        """Every reader goes up, and over nothing that is there."""
        positions: dict[tuple[Any, ...], int] = {}
        readable = sorted(self.final)
        rank = {offset: place for place, offset in enumerate(readable)}
        for poll in self.partition.polls:
            if poll.get("final"):
                continue
            reader = (poll["proc"], poll.get("group"), poll.get("assignment", 0))
            last = positions.get(reader)
            if last is None and "from" in poll:
                last = poll["from"] - 1
            for offset, _, _, attempt in poll.get("seen", ()):
                if attempt > 1:
                    continue
                if last is not None:
                    if offset <= last:
                        self._say("nonmonotonic-poll", f"{reader} {offset} after {last}")
                        continue
                    here = rank.get(offset)
                    if here is None:
                        here = bisect_left(readable, offset)
                    if here > 0 and readable[here - 1] > last:
                        missed = readable[here - 1]
                        self._say("skipped-poll", f"{reader} {last} to {offset} over {missed}")
                last = offset
            if last is not None:
                positions[reader] = last

    def _commits(self) -> None:
        if not self.partition.moves:
            return
        delivered: dict[Any, int] = defaultdict(lambda: -1)
        committed: dict[Any, int] = {}
        events = chain(self.partition.polls, self.partition.moves)
        ordered = sorted(
            (e for e in events if e.get("group") is not None),
            # What was read before a commit was sent may be in it; a commit counts when it is answered.
            key=lambda e: (e["t_ret"] if e["op"] == "poll" else e["t_inv"], e["op"] != "poll"),
        )
        for event in ordered:
            group = event["group"]
            if event["op"] == "poll":
                seen = event.get("seen", ())
                delivered[group] = (
                    max(delivered[group], *(e[0] for e in seen)) if seen else delivered[group]
                )
            elif event.get("outcome", "ok") != "ok":
                continue
            elif event["op"] == "seek":
                committed.pop(group, None)
                delivered[group] = max(delivered[group], event["offset"] - 1)
            else:
                offset = event["offset"]
                if offset > delivered[group] + 1:
                    self._say("committed-ahead", f"{group} {offset}, delivered {delivered[group]}")
                if offset < committed.get(group, offset):
                    self._say("commit-back", f"{group} {offset} after {committed[group]}")
                committed[group] = offset

    def _audits(self) -> None:
        """What the files hold is at least what was answered before they were looked at."""
        for audit in self.partition.audits:
            ranges = [tuple(pair) for pair in audit.get("ranges", ())]
            for publish in self.partition.publishes:
                if publish.outcome != "ok" or publish.t_ret > audit["t_inv"]:
                    continue
                if STRENGTH[publish.reached] < STRENGTH[audit["level"]] or publish.ttl_s:
                    continue
                if not any(first <= publish.offset < end for first, end in ranges):
                    self._say("overstated", f"{publish.msg_id} {publish.reached}, not in the files")


def _check_epochs(where: str, publishes: list[_Publish], report: Report) -> None:
    """No answer of a leader after one of its successor was seen."""
    answered = sorted(publishes, key=attrgetter("t_ret"))
    at, highest, since = 0, -1, 0
    for publish in sorted(publishes, key=attrgetter("t_inv")):
        while at < len(answered) and answered[at].t_ret < publish.t_inv:
            if answered[at].epoch > highest:
                highest, since = answered[at].epoch, answered[at].t_ret
            at += 1
        is_quorum = publish.reached.startswith("quorum")
        if publish.epoch < highest and (is_quorum or publish.t_inv > since + STALE_S * SECOND):
            report.add("stale-epoch", where, f"{publish.msg_id} {publish.epoch} after {highest}")


def _measure(history: _Input, report: Report) -> None:
    successes = sorted(history.successes)
    ends = [end for end, _ in successes]
    gaps = (after - before for before, after in pairwise(ends))
    report.longest_gap_s = max(gaps, default=0) / SECOND
    begins = [f["t"] for f in history.faults if f["phase"] == "start"]
    report.figures["faults"] = len(begins)
    for begin in begins:
        # Recovered is who is answered on what was sent after the fault.
        after = islice(successes, bisect_left(ends, begin), None)
        recovered = next((end for end, sent in after if sent > begin), begin)
        report.slowest_recovery_s = max(report.slowest_recovery_s, (recovered - begin) / SECOND)
