"""Decides whether a history keeps the guarantees: one pass over its events, partition by partition.

In: records of ``history``. Out: a ``Report`` of findings and figures. Invariants: a check never
passes for want of evidence (a partition with acknowledged messages and no whole final read is a
finding); time and memory are linear in events, but for sorting what is almost sorted. A million
publishes with two readers are a matter of seconds, so what is done for each of them is spelled out.
Source: Jepsen's set, queue and kafka checkers; the definitions are those of the guarantees page.
"""

import gc
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, Final

from tests.faults.history import Audit, Happened, Move, Poll, Publish, Record, Seen

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
class _Partition:
    """The records of one partition, in the order of the file."""

    publishes: list[Publish] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)


@dataclass(slots=True)
class _Input:
    """A whole history, sorted out; ``answered`` in the order of the answers."""

    partitions: dict[tuple[str, int], _Partition] = field(
        default_factory=lambda: defaultdict(_Partition)
    )
    answered: list[Publish] = field(default_factory=list)
    faults: list[Happened] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)

    def home(self, msg_id: str) -> tuple[str, int] | None:
        """The partition that a message was published to."""
        return next(
            (
                partition
                for partition, found in self.partitions.items()
                if any(publish.msg_id == msg_id for publish in found.publishes)
            ),
            None,
        )


def check(records: Iterable[Record], *, allows_damage: bool = False) -> Report:
    """Checks a whole history; with ``allows_damage`` a loss that a gap names as damage is none."""
    # Millions of small objects and no cycles: the collector would look at them again and again.
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return _check(records, allows_damage)
    finally:
        if was_collecting:
            gc.enable()


def _check(records: Iterable[Record], allows_damage: bool) -> Report:
    report = Report()
    history = _sort_out(records, report)
    # Until a process is dead it acknowledges, also after the decision to end it.
    crashes = [f.t for f in history.faults if f.fault in _CRASHES and f.phase == "done"]
    last_crash = max(crashes, default=-1)
    reasons = _ALLOWED_GAPS | ({"damaged"} if allows_damage else set())
    for (topic, number), partition in history.partitions.items():
        one = _Check(f"{topic}/{number}", partition, history, report, last_crash, reasons)
        one.run((topic, number))
    _check_epochs(history.answered, report)
    _measure(history, report)
    return report


def _sort_out(records: Iterable[Record], report: Report) -> _Input:
    history = _Input()
    partitions, outcomes = history.partitions, dict.fromkeys(("ok", "fail", "unknown"), 0)
    for record in records:
        kind = type(record)
        if kind is Publish:
            partitions[record.topic, record.partition].publishes.append(record)
            outcome = record.outcome
            outcomes[outcome] += 1
            if not record.reached:
                record.reached = record.level
            if outcome == "ok":
                history.answered.append(record)
            history.nodes.add(record.node)
        elif kind is Poll:
            partitions[record.topic, record.partition].polls.append(record)
        elif kind is Move:
            partitions[record.topic, record.partition].moves.append(record)
        elif kind is Audit:
            partitions[record.topic, record.partition].audits.append(record)
        elif kind is Happened:
            history.faults.append(record)
    history.nodes.discard("")
    history.answered.sort(key=attrgetter("t_ret"))
    report.figures.update({f"publishes {name}": n for name, n in outcomes.items() if n})
    return history


@dataclass(slots=True)
class _Check:
    """All checks of one partition, in the order in which they build on each other."""

    where: str
    partition: _Partition
    history: _Input
    report: Report
    last_crash: int
    gap_reasons: frozenset[str] | set[str]
    by_id: dict[str, Publish] = field(default_factory=dict)
    id_at: dict[int, str] = field(default_factory=dict)
    offset_of: dict[str, int] = field(default_factory=dict)
    final: set[int] = field(default_factory=set)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    lost_tails: list[tuple[int, int]] = field(default_factory=list)
    t_final: int = -1
    # What was read at an offset before ``t_known``.
    known: dict[int, Seen] = field(default_factory=dict)
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
        id_at, offset_of = self.id_at, self.offset_of
        for publish in self.partition.publishes:
            if publish.outcome != "ok":
                continue
            offset, msg_id = publish.offset, publish.msg_id
            if offset < 0:
                self._say("inconsistent-offset", f"{msg_id} acknowledged without an offset")
                continue
            if offset in id_at or msg_id in offset_of:
                self._place(offset, msg_id)
            else:
                id_at[offset] = msg_id
                offset_of[msg_id] = offset
            if (
                publish.reached != publish.level
                and STRENGTH[publish.reached] < STRENGTH[publish.level]
            ):
                self._say(
                    "overstated",
                    f"{msg_id} asked for {publish.level} and was acknowledged at {publish.reached}",
                )

    def _place(self, offset: int, msg_id: str) -> None:
        """Offset to message is a function, and so is message to offset."""
        if self.id_at.setdefault(offset, msg_id) != msg_id:
            self._say("inconsistent-offset", f"offset {offset}: {self.id_at[offset]} and {msg_id}")
        if self.offset_of.setdefault(msg_id, offset) != offset:
            self._say("duplicate-log", f"{msg_id} at {self.offset_of[msg_id]} and {offset}")

    def _poll(self, poll: Poll, partition: tuple[str, int]) -> None:
        by_id, id_at, offset_of = self.by_id, self.id_at, self.offset_of
        seen, known, t_ret = poll.seen, self.known, poll.t_ret
        is_later = t_ret >= self.t_known
        for entry in seen:
            offset = entry[0]
            if is_later and known.get(offset) == entry:
                # Seen before, just so, and found in order then.
                continue
            _, msg_id, content, attempt = entry
            publish = by_id.get(msg_id)
            if publish is None:
                home = self.history.home(msg_id)
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
        for first, end, reason in poll.gaps:
            self.report.figures[f"gaps {reason}"] += 1
            if reason in self.gap_reasons:
                self.gaps.append((first, end))
            elif reason == "lost_tail":
                self.lost_tails.append((first, end))
        if poll.final:
            self.final.update([entry[0] for entry in seen])
            self.t_final = max(self.t_final, t_ret)

    @staticmethod
    def _is_late(publish: Publish, poll: Poll) -> bool:
        """The latest append is the answer; without one it may have been any time later."""
        if publish.outcome != "ok":
            return False
        end = publish.t_ret + (publish.ttl_s + LATE_S) * SECOND
        return poll.t_inv > end

    def _final_read(self) -> None:
        acked = [p for p in self.partition.publishes if p.outcome == "ok" and p.offset >= 0]
        if not acked:
            return
        if not any(poll.final and poll.up_to_date for poll in self.partition.polls):
            self._say("no-final-read", f"{len(acked)} acknowledged, the final read is not whole")
            return
        for level, count in Counter(map(attrgetter("reached"), acked)).items():
            self.report.figures[f"acknowledged at {level}"] += count
        final = self.final
        highest = max(final, default=-1)
        for publish in acked:
            if publish.offset not in final:
                self._missing(publish, is_middle=publish.offset < highest)

    def _missing(self, publish: Publish, *, is_middle: bool) -> None:
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
        sent = [publish for publish in self.partition.publishes if publish.msg_id in offset_of]
        answered = [publish for publish in sent if publish.outcome == "ok" and publish.offset >= 0]
        sent.sort(key=attrgetter("t_inv"))
        answered.sort(key=attrgetter("t_ret"))
        highest, highest_id = -1, ""
        of_producer: dict[str, Publish] = {}
        is_strict = len(self.history.nodes) < 2
        later = iter(answered)
        before = next(later, None)
        for publish in sent:
            t_inv = publish.t_inv
            while before is not None and before.t_ret < t_inv:
                if before.offset > highest:
                    highest, highest_id = before.offset, before.msg_id
                known = of_producer.get(before.producer)
                if known is None or before.offset > known.offset:
                    of_producer[before.producer] = before
                before = next(later, None)
            offset = publish.offset if publish.offset >= 0 else offset_of[publish.msg_id]
            if offset >= highest:
                # So it is above the last one of its own producer, too.
                continue
            if is_strict or publish.reached.startswith("quorum"):
                self._say(
                    "realtime-order", f"{publish.msg_id} {offset} after {highest_id} {highest}"
                )
            last = of_producer.get(publish.producer)
            if last is not None and offset < last.offset and last.seq < publish.seq:
                self._say(
                    "reorder", f"{publish.msg_id} {offset}, sequence {publish.seq} of one producer"
                )

    def _readers(self) -> None:
        """Every reader goes up, and over nothing that is there."""
        positions: dict[tuple[Any, ...], int] = {}
        readable = sorted(self.final)
        rank = {offset: place for place, offset in enumerate(readable)}
        for poll in self.partition.polls:
            if poll.final:
                continue
            reader = (poll.proc, poll.group, poll.assignment)
            last = positions.get(reader)
            if last is None and poll.start is not None:
                last = poll.start - 1
            for offset, _, _, attempt in poll.seen:
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
        delivered: dict[str, int] = defaultdict(lambda: -1)
        committed: dict[str, int] = {}
        ordered = sorted(
            chain(self.partition.polls, self.partition.moves),
            # What was read before a commit was sent may be in it; a commit counts when it is answered.
            key=lambda e: (e.t_ret, False) if isinstance(e, Poll) else (e.t_inv, True),
        )
        for event in ordered:
            group = event.group
            if group is None:
                continue
            if isinstance(event, Poll):
                delivered[group] = max([delivered[group], *(entry[0] for entry in event.seen)])
            elif event.outcome != "ok":
                continue
            elif event.op == "seek":
                committed.pop(group, None)
                delivered[group] = max(delivered[group], event.offset - 1)
            else:
                offset = event.offset
                if offset > delivered[group] + 1:
                    self._say("committed-ahead", f"{group} {offset}, delivered {delivered[group]}")
                if offset < committed.get(group, offset):
                    self._say("commit-back", f"{group} {offset} after {committed[group]}")
                committed[group] = offset

    def _audits(self) -> None:
        """What the files hold is at least what was answered before they were looked at."""
        for audit in self.partition.audits:
            for publish in self.partition.publishes:
                if publish.outcome != "ok" or publish.t_ret > audit.t_inv:
                    continue
                if STRENGTH[publish.reached] < STRENGTH[audit.level] or publish.ttl_s:
                    continue
                if not any(first <= publish.offset < end for first, end in audit.ranges):
                    self._say("overstated", f"{publish.msg_id} {publish.reached}, not in the files")


def _check_epochs(answered: list[Publish], report: Report) -> None:
    """No answer of a leader after one of its successor was seen, slot by slot."""
    if len(set(map(attrgetter("epoch"), answered))) < 2:
        return
    slots: dict[Any, list[Publish]] = defaultdict(list)
    for publish in answered:
        if publish.epoch >= 0:
            slot = publish.slot if publish.slot >= 0 else (publish.topic, publish.partition)
            slots[slot].append(publish)
    for slot, publishes in slots.items():
        _check_slot(f"slot {slot}", publishes, report)


def _check_slot(where: str, answered: list[Publish], report: Report) -> None:
    at, highest, since = 0, -1, 0
    for publish in sorted(answered, key=attrgetter("t_inv")):
        while at < len(answered) and answered[at].t_ret < publish.t_inv:
            if answered[at].epoch > highest:
                highest, since = answered[at].epoch, answered[at].t_ret
            at += 1
        is_quorum = publish.reached.startswith("quorum")
        if publish.epoch < highest and (is_quorum or publish.t_inv > since + STALE_S * SECOND):
            report.add("stale-epoch", where, f"{publish.msg_id} {publish.epoch} after {highest}")


def _measure(history: _Input, report: Report) -> None:
    answered = history.answered
    ends = [publish.t_ret for publish in answered]
    gaps = (after - before for before, after in pairwise(ends))
    report.longest_gap_s = max(gaps, default=0) / SECOND
    begins = [f.t for f in history.faults if f.phase == "start"]
    report.figures["faults"] = len(begins)
    for begin in begins:
        # Recovered is who is answered on what was sent after the fault.
        after = (answered[at] for at in range(bisect_left(ends, begin), len(ends)))
        recovered = next((p.t_ret for p in after if p.t_inv > begin), begin)
        report.slowest_recovery_s = max(report.slowest_recovery_s, (recovered - begin) / SECOND)
