"""Row D1: the disk fills up, gradually and at once, and has room again."""

import httpx
import pytest

from tests.faults.faults import DiskFull
from tests.faults.node import NodeProcess
from tests.faults.scene import Scene, per_form
from tests.faults.volume import Volume
from tests.faults.workload import Workload

pytestmark = [
    pytest.mark.fault,
    pytest.mark.D1,
    pytest.mark.timeout(600),
    pytest.mark.needs("power-cut"),
]
_REFUSED = 50


def refused(workload: Workload) -> int:
    return workload.statuses.get(507, 0)


def until_full(workload: Workload) -> None:
    begin = refused(workload)
    workload.wait_until(lambda: refused(workload) >= begin + _REFUSED, 60)


def assert_reads_go_on(node: NodeProcess) -> None:
    read = httpx.get(f"{node.url}/v1/topics/faults-0/messages?partition=0&limit=10", timeout=5)
    assert read.status_code == 200 and len(read.json()["messages"]) == 10


@pytest.mark.parametrize("leave_bytes", [0, 4 << 20], ids=["at-once", "gradually"])
def test_a_full_disk_refuses_keeps_reading_and_recovers(
    volume_scene: Scene, volume: Volume, leave_bytes: int
) -> None:
    fill(volume_scene, volume, leave_bytes, per_form(1, 2, 20))


def fill(scene: Scene, volume: Volume, leave_bytes: int, count: int) -> None:
    """Fills the volume ``count`` times."""
    # What waits for a full disk is not answered: its client gives up early and asks again.
    workload = scene.begin(body_bytes=4_096, answer_s=1)
    workload.wait_for(200)
    pid = scene.node.pid
    for _ in range(count):
        fault = DiskFull(scene.history, leave_bytes)
        with fault.active(volume):
            until_full(workload)
            assert_reads_go_on(scene.node)
        workload.wait_for(100)
    assert scene.node.is_running() and scene.node.pid == pid, "it must recover without a restart"
    report = scene.verdict(workload)
    assert report.is_good, report.lines()
    scene.node.kill()
    scene.node.start()
    report = scene.verdict(workload)
    assert report.is_good, report.lines()
