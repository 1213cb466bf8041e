"""Rows K1 and P1: a node dies at random moments, by SIGKILL and by power failure."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.faults import Fault, Kill9, PowerCut
from tests.faults.node import NodeProcess
from tests.faults.scene import FORM, LEVEL, Scene, note_result, per_form
from tests.faults.volume import BYTES_MIN, Volume

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3_600)]
# A cycle begins after this many acknowledgements at most, so that deaths meet every state.
_ACKS_MAX = per_form(400, 1_000, 10_000)
# In the long form messages are sent fifty at a time: a million of them in minutes.
_BATCH_COUNT = per_form(1, 1, 50)


def cycles(scene: Scene, fault: Fault[NodeProcess], count: int, **plan: Any) -> dict[str, object]:
    """Breaks a working node ``count`` times, then judges; what was counted."""
    workload = scene.begin(**plan)
    slowest_s = 0.0
    for _ in range(count):
        workload.wait_for(scene.draw.randint(1, _ACKS_MAX))
        fault.start(scene.node)
        scene.node.start()
        fault.stop()
        slowest_s = max(slowest_s, scene.node.ready_s)
    workload.wait_for(50)
    report = scene.verdict(workload)
    print(f"{count} cycles, slowest start {slowest_s:.2f} s")  # noqa: T201
    assert report.is_good, report.lines()
    assert report.figures["faults"] == count
    acked = report.figures[f"acknowledged at {LEVEL}"]
    assert acked >= 50 + count
    return {
        "cycles": count,
        "acknowledged": acked,
        "lost": 0,
        "slowest_start_s": round(slowest_s, 2),
    }


@pytest.mark.K1
def test_nothing_acknowledged_is_lost_by_kill_9(scene: Scene) -> None:
    figures = cycles(scene, Kill9(scene.history), per_form(3, 20, 200), batch_count=_BATCH_COUNT)
    note_result("K1", "kill -9 at random moments", scene.seed, figures)


@pytest.mark.K1
@pytest.mark.skipif(FORM == "test", reason="a longer form")
def test_a_death_while_it_starts_loses_nothing(scene: Scene) -> None:
    workload = scene.begin()
    fault = Kill9(scene.history)
    for _ in range(per_form(0, 3, 40)):
        workload.wait_for(scene.draw.randint(1, _ACKS_MAX))
        fault.start(scene.node)
        for _ in range(3):
            scene.node.spawn()
            # Not a wait: the moment of the next death, anywhere from before its first line to after its last.
            time.sleep(scene.draw.uniform(0.1, 0.8))
            scene.node.kill()
        scene.node.start()
        fault.stop()
    workload.wait_for(50)
    report = scene.verdict(workload)
    assert report.is_good, report.lines()


@pytest.mark.K1
@pytest.mark.skipif(FORM == "test", reason="a longer form")
def test_nothing_is_lost_while_windows_are_sealed_and_memory_lets_go(
    tmp_path: Path, seed: int
) -> None:
    settings = {"SPRAWL_STORAGE_MEMORY_MAX_SIZE": str(16 << 20)}
    with Scene(tmp_path, tmp_path / "data", seed, settings=settings) as scene:
        workload = scene.begin(body_bytes=32_768)
        fault = Kill9(scene.history)
        for _ in range(per_form(0, 3, 40)):
            # More than a window of 4 MiB each, and in all more than memory holds.
            workload.wait_for(scene.draw.randint(200, 400))
            fault.start(scene.node)
            scene.node.start()
            fault.stop()
        workload.wait_for(50)
        report = scene.verdict(workload)
        assert report.is_good, report.lines()


@pytest.mark.K1
@pytest.mark.skipif(FORM == "test", reason="a longer form")
def test_offsets_that_were_shown_at_memory_are_never_given_again(scene: Scene) -> None:
    workload = scene.begin(level="memory")
    fault = Kill9(scene.history)
    count = per_form(0, 3, 40)
    for _ in range(count):
        workload.wait_for(scene.draw.randint(1, _ACKS_MAX))
        fault.start(scene.node)
        scene.node.start()
        fault.stop()
    workload.wait_for(50)
    # An orderly end loses nothing at any level, and no offset.
    workload.stop()
    assert scene.node.stop() == 0
    scene.node.start()
    report = scene.verdict(workload)
    assert report.is_good, report.lines()
    partitions = len(workload.plan.all_partitions())
    assert report.figures["gaps lost_tail"] >= partitions * count, "every partition, at every death"
    told = [gap for gap in gaps_of_batches(scene.node.url, "faults-0") if gap.startswith("0;")]
    assert len(told) == count and all(gap.endswith(";lost_tail") for gap in told), told


def gaps_of_batches(url: str, topic: str) -> list[str]:
    """What the pages of a binary read say is lost."""
    found: list[str] = []
    place, is_at_end = "earliest", False
    while not is_at_end:
        page = httpx.get(
            f"{url}/v1/topics/{topic}/messages",
            params={"from": place},
            headers={"Accept": "application/x-sprawl-batch"},
            timeout=20,
        )
        assert page.status_code == 200, page.text
        found += filter(None, page.headers.get("sprawl-gap", "").split(", "))
        place = f"cursor:{page.headers['sprawl-cursor']}"
        is_at_end = page.headers["sprawl-up-to-date"] == "true"
    return found


@pytest.mark.P1
@pytest.mark.needs("power-cut")
def test_nothing_acknowledged_is_lost_by_a_power_cut(volume_scene: Scene, volume: Volume) -> None:
    fault = PowerCut(volume_scene.history, volume)
    figures = cycles(volume_scene, fault, per_form(1, 10, 100), batch_count=_BATCH_COUNT)
    note_result("P1", "power failure under a living node, ext4", volume_scene.seed, figures)


@pytest.mark.P1
@pytest.mark.needs("power-cut", "xfs")
@pytest.mark.skipif(per_form(0, 0, 1) == 0, reason="make faults")
def test_nothing_acknowledged_is_lost_by_a_power_cut_on_xfs(scene: Scene) -> None:
    with Volume(scene.folder / "xfs", BYTES_MIN["xfs"], "xfs") as volume:
        on_xfs = Scene(scene.folder / "xfs", volume.path / "data", scene.draw.getrandbits(32))
        with on_xfs:
            figures = cycles(on_xfs, PowerCut(on_xfs.history, volume), 100)
            note_result("P1-xfs", "power failure under a living node, XFS", on_xfs.seed, figures)
