"""Rows K3, P5 and P6: death, errors and order at the level of system calls, by strace."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.faults import SyscallError, SyscallKill, SyscallTrace
from tests.faults.history import now, read_events
from tests.faults.order import check_order, dsync_files
from tests.faults.scene import LEVEL, Scene, note_result, per_form

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3_600), pytest.mark.needs("strace")]
_EXIT_S = 15
_WRITES = "pwrite64,pwritev,pwritev2,writev"


def files_of(scene: Scene) -> list[Path]:
    """What the node has on its disk."""
    return sorted(path for path in scene.directory.rglob("*") if path.is_file())


@pytest.mark.K3
@pytest.mark.parametrize("calls", ["fdatasync", _WRITES, "sendto,sendmsg,write,writev"])
def test_nothing_acknowledged_is_lost_by_death_at_the_nth_call(scene: Scene, calls: str) -> None:
    workload = scene.begin()
    for nth in range(1, per_form(2, 8, 100) + 1):
        paths = files_of(scene) if calls == _WRITES else ()
        fault = SyscallKill(scene.history, scene.folder / "trace", calls, nth, paths)
        with fault.active(scene.node):
            workload.wait_until(lambda: not scene.node.is_running())
        scene.node.start()
        workload.wait_for(1)
    report = scene.verdict(workload)
    assert report.is_good, report.lines()


@pytest.mark.P5
@pytest.mark.parametrize("nth", [1, 3])
def test_a_failed_sync_ends_the_node_and_nothing_of_it_is_acknowledged(
    scene: Scene, nth: int
) -> None:
    fail_sync(scene, nth)


def fail_sync(scene: Scene, nth: int) -> None:
    """EIO from the ``nth`` sync from now on, and from that one alone."""
    workload = scene.begin()
    workload.wait_for(100)
    trace = scene.folder / "trace"
    fault = SyscallError(scene.history, trace, "fdatasync", "EIO", when=str(nth))
    with fault.active(scene.node):
        try:
            status = scene.node.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the node lives on after EIO: {trace.read_text()[-500:]}")
    assert status not in (0, -signal.SIGKILL), "it must end by itself, and not as if all were well"
    text = scene.node.log.read_text()
    assert "Input/output error" in text and "Traceback" not in text, text[-2_000:]
    scene.node.start()
    workload.wait_for(50)
    report = scene.verdict(workload)
    assert report.is_good, report.lines()


@pytest.mark.P5
def test_without_room_for_a_write_the_node_refuses_and_goes_on_when_there_is(scene: Scene) -> None:
    # What waits for a full disk is not answered: its client gives up early and asks again.
    workload = scene.begin(answer_s=1)
    workload.wait_for(100)
    pid = scene.node.pid
    trace, files = scene.folder / "trace", files_of(scene)
    fault = SyscallError(scene.history, trace, _WRITES, "ENOSPC", paths=files)
    with fault.active(scene.node):
        workload.wait_until(lambda: workload.statuses.get(507, 0) > 10)
        read = httpx.get(
            f"{scene.node.url}/v1/topics/faults-0/messages?partition=0&limit=10", timeout=5
        )
        assert read.status_code == 200 and len(read.json()["messages"]) == 10
    workload.wait_for(100)
    assert scene.node.pid == pid and scene.node.is_running(), "it must go on without a restart"
    report = scene.verdict(workload)
    assert report.is_good, report.lines()


@pytest.mark.P6
def test_no_answer_leaves_before_its_sync_has_returned(scene: Scene) -> None:
    figures = trace_order(scene, per_form(1_000, 10_000, 100_000))
    note_result("P6", "order of fdatasync and answer, by strace", scene.seed, figures)


def trace_order(scene: Scene, goal: int, **plan: Any) -> dict[str, object]:
    """Traces ``goal`` answers; what was counted."""
    workload = scene.begin(producers=32, **plan)
    workload.wait_for(100)
    dsync = dsync_files(scene.node.pid)
    trace = SyscallTrace(scene.history, scene.folder / "trace")
    with trace.active(scene.node):
        # An answer to what was written before the trace began may follow a commit that writes its page again.
        traced_ns = now()
        workload.wait_for(goal + goal // 50 + 400, timeout_s=600)
        workload.stop()
    messages = {
        e["message"]: e["msg_id"]
        for e in read_events(scene.history.path)
        if e.get("op") == "pub"
        and e["outcome"] == "ok"
        and e["reached"] == LEVEL
        and e["t_inv"] > traced_ns
    }
    with trace.trace.open(errors="replace") as lines:
        order = check_order(lines, messages, dsync)
    trace.trace.unlink()
    print(f"{order.checked_count} answers, {order.syncs_count} syncs, {len(order.unseen)} unseen")  # noqa: T201
    assert not order.early, f"{len(order.early)} left early: {order.early[:10]}"
    assert order.checked_count - len(order.unseen) >= goal
    # A mark that lies across two values is not found; more than a few would be no proof.
    assert len(order.unseen) <= order.checked_count // 100 + 200
    assert order.syncs_count > 0
    return {
        "answers": order.checked_count,
        "syncs": order.syncs_count,
        "answers_before_their_sync": len(order.early),
        "answers_whose_write_was_not_recognised": len(order.unseen),
    }
