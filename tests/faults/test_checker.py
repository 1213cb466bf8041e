"""The checker itself: a good history passes, and every mutation of one is found by its check."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.checker import SECOND, Report
from tests.faults.checker import check as check_records
from tests.faults.good_history import good_history
from tests.faults.history import (
    History,
    now,
    outcome_of,
    read_events,
    record_of,
    write_events,
)

Event = dict[str, Any]
Mutation = Callable[[list[Event], random.Random], None]
SEEDS = range(5)
_ROOT = Path(__file__).resolve().parents[2]


def check(events: list[Event], *, allows_damage: bool = False) -> Report:
    return check_records(map(record_of, events), allows_damage=allows_damage)


def acked(events: list[Event]) -> list[Event]:
    return [
        e for e in events if e.get("op") == "pub" and e["outcome"] == "ok" and not e.get("ttl_s")
    ]


def finals(events: list[Event]) -> list[Event]:
    return [e for e in events if e.get("final")]


def polls(events: list[Event], least: int = 2) -> list[Event]:
    return [
        e
        for e in events
        if e.get("op") == "poll" and not e.get("final") and len(e["seen"]) >= least
    ]


def final_of(events: list[Event], publish: Event) -> Event:
    return next(e for e in finals(events) if e["partition"] == publish["partition"])


def forget(events: list[Event], publish: Event) -> None:
    """As if it had never been in the log."""
    for event in events:
        if event.get("op") == "poll":
            event["seen"] = [entry for entry in event["seen"] if entry[1] != publish["msg_id"]]


def drop_last_acked(events: list[Event], _draw: random.Random) -> None:
    publish = max(acked(events), key=lambda e: e["offset"])
    final = final_of(events, publish)
    final["seen"] = [entry for entry in final["seen"] if entry[0] < publish["offset"]]


def drop_one_in_the_middle(events: list[Event], draw: random.Random) -> None:
    ends = {e["partition"]: e["seen"][-1][0] for e in finals(events)}
    forget(events, draw.choice([e for e in acked(events) if e["offset"] < ends[e["partition"]]]))


def lose_the_unread(events: list[Event], draw: random.Random) -> None:
    """A whole partition comes back empty."""
    draw.choice(finals(events))["seen"] = []


def forget_to_read(events: list[Event], draw: random.Random) -> None:
    events.remove(draw.choice(finals(events)))


def read_half(events: list[Event], draw: random.Random) -> None:
    draw.choice(finals(events))["up_to_date"] = False


def invent(events: list[Event], draw: random.Random) -> None:
    entries = draw.choice(finals(events))["seen"]
    entries.append([entries[-1][0] + 1, "nobody-0", "0" * 16, 1])


def deliver_a_refused_one(events: list[Event], draw: random.Random) -> None:
    publish = draw.choice([e for e in events if e.get("outcome") == "fail"])
    entries = final_of(events, publish)["seen"]
    entries.append([entries[-1][0] + 1, publish["msg_id"], publish["hash"], 1])


def deliver_in_another_partition(events: list[Event], draw: random.Random) -> None:
    publish = draw.choice(acked(events))
    other = next(e for e in finals(events) if e["partition"] != publish["partition"])
    entry = [other["seen"][-1][0] + 1, publish["msg_id"], publish["hash"], 1]
    other["seen"].append(entry)


def deliver_before_publish(events: list[Event], draw: random.Random) -> None:
    poll = draw.choice(polls(events))
    msg_id = poll["seen"][0][1]
    poll["t_inv"] = poll["t_ret"] = (
        next(e for e in events if e.get("msg_id") == msg_id)["t_inv"] - 1
    )


def store_twice(events: list[Event], draw: random.Random) -> None:
    publish = draw.choice(acked(events))
    entries = final_of(events, publish)["seen"]
    entries.append([entries[-1][0] + 1, publish["msg_id"], publish["hash"], 1])


def acknowledge_two_at_one_offset(events: list[Event], draw: random.Random) -> None:
    first, second = draw.sample([e for e in acked(events) if e["partition"] == 0], 2)
    forget(events, second)
    second["offset"] = first["offset"]


def show_two_at_one_offset(events: list[Event], draw: random.Random) -> None:
    poll = draw.choice(polls(events))
    poll["seen"][0][1:3] = poll["seen"][1][1:3]


def acknowledge_without_offset(events: list[Event], draw: random.Random) -> None:
    del draw.choice(acked(events))["offset"]


def flip_a_hash_at_the_end(events: list[Event], draw: random.Random) -> None:
    draw.choice(draw.choice(finals(events))["seen"])[2] = "f" * 16


def flip_a_hash_at_a_reader(events: list[Event], draw: random.Random) -> None:
    draw.choice(draw.choice(polls(events))["seen"])[2] = "f" * 16


def swap(first: Event, second: Event, events: list[Event]) -> None:
    """Two messages change places, for every reader alike."""
    places = {first["msg_id"]: second, second["msg_id"]: first}
    first["offset"], second["offset"] = second["offset"], first["offset"]
    found = {e["msg_id"]: e for e in (first, second)}
    for event in events:
        if event.get("op") != "poll":
            continue
        for entry in event["seen"]:
            if entry[1] in places:
                other = places[entry[1]]
                entry[1:3] = [other["msg_id"], found[other["msg_id"]]["hash"]]


def swap_two_of_one_producer(events: list[Event], draw: random.Random) -> None:
    mine = [e for e in acked(events) if e["producer"] == "producer-0" and e["partition"] == 0]
    at = draw.randrange(len(mine) - 1)
    swap(mine[at], mine[at + 1], events)


def swap_two_producers(events: list[Event], draw: random.Random) -> None:
    mine = sorted((e for e in acked(events) if e["partition"] == 0), key=lambda e: e["t_inv"])
    pairs = [
        (a, b)
        for a in mine
        for b in mine
        if a["t_ret"] < b["t_inv"] and a["producer"] != b["producer"]
    ]
    swap(*draw.choice(pairs), events)


def read_back(events: list[Event], draw: random.Random) -> None:
    draw.choice(polls(events))["seen"].reverse()


def read_twice(events: list[Event], draw: random.Random) -> None:
    poll = draw.choice(polls(events))
    poll["seen"].append(list(poll["seen"][0]))


def skip_one(events: list[Event], draw: random.Random) -> None:
    kept = {entry[1] for e in finals(events) for entry in e["seen"]}
    poll = draw.choice([e for e in polls(events, 3) if any(x[1] in kept for x in e["seen"][1:-1])])
    inner = [entry for entry in poll["seen"][1:-1] if entry[1] in kept]
    poll["seen"].remove(draw.choice(inner))


def skip_the_first(events: list[Event], draw: random.Random) -> None:
    kept = {entry[1] for e in finals(events) for entry in e["seen"]}
    begins = [e for e in polls(events) if e.get("from") == 0 and e["seen"][0][1] in kept]
    del draw.choice(begins)["seen"][0]


def commit_ahead(events: list[Event], draw: random.Random) -> None:
    draw.choice([e for e in events if e.get("op") == "commit"])["offset"] += 1_000


def commit_back(events: list[Event], draw: random.Random) -> None:
    commits = [e for e in events if e.get("op") == "commit"]
    last = draw.choice(commits)
    late = {"t_inv": last["t_ret"] + 1, "t_ret": last["t_ret"] + 2, "offset": last["offset"] - 1}
    events.append(last | late)


def answer_from_an_old_leader(events: list[Event], draw: random.Random) -> None:
    mine = sorted((e for e in acked(events) if e["slot"] == 0), key=lambda e: e["t_inv"])
    for event in mine[:-1]:
        event["epoch"] = 2 if event is mine[0] else 3
    mine[-1]["t_inv"] += 10 * SECOND
    mine[-1]["t_ret"] += 10 * SECOND


def drop_before_ttl(events: list[Event], draw: random.Random) -> None:
    publish = draw.choice(acked(events))
    publish["ttl_s"] = 100_000
    forget(events, publish)


def deliver_after_ttl(events: list[Event], draw: random.Random) -> None:
    draw.choice(acked(events))["ttl_s"] = 1


def acknowledge_less_than_asked(events: list[Event], draw: random.Random) -> None:
    draw.choice(acked(events))["reached"] = "memory"


def leave_out_of_the_files(events: list[Event], draw: random.Random) -> None:
    publish = draw.choice(acked(events))
    held = [[0, publish["offset"]], [publish["offset"] + 1, 1 << 40]]
    audit = {"op": "audit", "topic": publish["topic"], "partition": publish["partition"]}
    last = max(e["t_ret"] for e in events if "t_ret" in e)
    events.append(audit | {"t_inv": last, "t_ret": last, "level": "disk", "ranges": held})


MUTATIONS: list[tuple[Mutation, str]] = [
    (drop_last_acked, "lost-write"),
    (drop_one_in_the_middle, "lost-middle"),
    (lose_the_unread, "lost-write"),
    (forget_to_read, "no-final-read"),
    (read_half, "no-final-read"),
    (invent, "phantom"),
    (deliver_a_refused_one, "phantom"),
    (deliver_in_another_partition, "phantom"),
    (deliver_before_publish, "phantom"),
    (store_twice, "duplicate-log"),
    (acknowledge_two_at_one_offset, "inconsistent-offset"),
    (show_two_at_one_offset, "inconsistent-offset"),
    (acknowledge_without_offset, "inconsistent-offset"),
    (flip_a_hash_at_the_end, "wrong-bytes"),
    (flip_a_hash_at_a_reader, "wrong-bytes"),
    (swap_two_of_one_producer, "reorder"),
    (swap_two_producers, "realtime-order"),
    (read_back, "nonmonotonic-poll"),
    (read_twice, "nonmonotonic-poll"),
    (skip_one, "skipped-poll"),
    (skip_the_first, "skipped-poll"),
    (commit_ahead, "committed-ahead"),
    (commit_back, "commit-back"),
    (answer_from_an_old_leader, "stale-epoch"),
    (drop_before_ttl, "early-expiry"),
    (deliver_after_ttl, "late-delivery"),
    (acknowledge_less_than_asked, "overstated"),
    (leave_out_of_the_files, "overstated"),
]


@given(
    seed=st.integers(0, 1 << 32),
    publishes=st.integers(1, 600),
    partitions=st.integers(1, 5),
    producers=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_a_good_history_passes(seed: int, publishes: int, partitions: int, producers: int) -> None:
    report = check(good_history(seed, publishes, partitions, producers))
    assert report.is_good, report.lines()
    assert not report.counts, report.lines()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("mutate", "found"), MUTATIONS, ids=lambda x: getattr(x, "__name__", x))
def test_a_mutation_is_found_by_its_check(mutate: Mutation, found: str, seed: int) -> None:
    events = good_history(seed)
    mutate(events, random.Random(seed))
    assert found in check(events).counts


def test_a_loss_at_memory_is_allowed_by_a_crash_after_it_alone_and_in_a_gap() -> None:
    events = good_history(1, level="memory")
    crash = next(e["t"] for e in events if e.get("phase") == "done")
    before = next(e for e in acked(events) if e["t_ret"] < crash)
    after = next(e for e in acked(events) if e["t_inv"] > crash)
    forget(events, before)
    assert check(events).counts.keys() == {"lost-unnamed"}
    gaps = final_of(events, before).setdefault("gaps", [])
    gaps.append([before["offset"], before["offset"] + 1, "lost_tail"])
    report = check(events)
    assert report.is_good and report.figures["lost at memory, allowed"] == 1
    forget(events, after)
    final_of(events, after).setdefault("gaps", []).append([0, 1 << 40, "lost_tail"])
    assert "lost-middle" in check(events).counts


def test_what_is_acknowledged_between_the_decision_to_kill_and_death_may_be_lost() -> None:
    events = good_history(1, level="memory")
    done = next(e for e in events if e.get("phase") == "done")
    late = max((e for e in acked(events) if e["t_ret"] < done["t"]), key=lambda e: e["t_inv"])
    start = next(e for e in events if e.get("phase") == "start")
    start["t"] = late["t_inv"] - 1
    forget(events, late)
    final_of(events, late)["gaps"] = [[late["offset"], late["offset"] + 1, "lost_tail"]]
    report = check(events)
    assert report.is_good, report.lines()
    assert report.figures["lost at memory, allowed"] == 1


def test_a_gap_excuses_what_it_names_and_damage_only_when_allowed() -> None:
    events = good_history(2)
    lost = next(e for e in acked(events) if e["offset"] > 3)
    forget(events, lost)
    final = final_of(events, lost)
    final["gaps"] = [[lost["offset"], lost["offset"] + 1, "damaged"]]
    assert not check(events).is_good
    assert check(events, allows_damage=True).is_good
    final["gaps"][0][2] = "retention"
    assert check(events).is_good


def test_a_late_delivery_is_a_warning() -> None:
    events = good_history(3)
    deliver_after_ttl(events, random.Random(3))
    report = check(events)
    assert report.is_good and report.counts["late-delivery"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "ok"), (201, "ok"), (202, "unknown"), (503, "fail"), (507, "fail"), (422, "fail")),
        *((500, "unknown"), (504, "unknown"), (None, "unknown")),
    ],
)
def test_only_an_answer_that_says_so_is_certain(status: int | None, outcome: str) -> None:
    assert outcome_of(status) == outcome


def test_a_line_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "history"
    with History(path) as history:
        for count in range(1, 4):
            history.write({"op": "admin", "t_inv": now()})
            assert len(list(read_events(path))) == count
        history.fault("Kill9", "node", "start")
        *_, last = read_events(path)
    assert (last["fault"], last["target"], last["phase"]) == ("Kill9", "node", "start")


@pytest.mark.parametrize("line", [b'{"op":', b"[]", b"{}", b""])
def test_a_line_that_is_no_event_is_refused_with_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'{"op":"admin"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"history:2: "):
        list(read_events(path))


@pytest.mark.parametrize(("mutate", "status"), [(None, 0), (invent, 1)])
def test_the_command_ends_with_the_verdict(
    tmp_path: Path, mutate: Mutation | None, status: int
) -> None:
    events = good_history(4)
    if mutate is not None:
        mutate(events, random.Random(4))
    path = tmp_path / "history"
    write_events(path, events)
    command = [sys.executable, "-m", "tests.faults", "check", str(path)]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == status, done.stderr
    assert ("phantom" in done.stdout) == (status == 1)
