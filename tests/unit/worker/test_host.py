"""The worker process seen from the node: work, faults, ends."""

import asyncio
import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from sprawl import errors
from sprawl.clock import SystemClock
from sprawl.limits import WORKER_BACKGROUND_MAX, WORKER_BODY_BYTES_MAX, WORKER_REQUESTS_MAX
from sprawl.worker import host
from sprawl.worker.host import URGENT, Worker

JOBS = "tests.unit.worker.jobs"
T = 30.0


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    found = new_worker()
    yield found
    await found.stop()


def new_worker(*modules: str) -> Worker:
    return Worker(
        modules or (JOBS,),
        spawn=lambda name, work: asyncio.get_running_loop().create_task(work, name=name),
        clock=SystemClock(),
        rng=random.Random(7),
    )


async def test_there_is_no_process_before_the_first_request(worker: Worker) -> None:
    assert worker.pid is None
    answer = await worker.call("echo", {"a": [1, None, "é"]}, b"body", timeout_s=T)
    assert answer.members["got"] == {"a": [1, None, "é"]}
    assert bytes(answer.body) == b"body"
    assert answer.members["pid"] == worker.pid != os.getpid()


@pytest.mark.parametrize("byte_count", [0, 1, 256 * 1024, 256 * 1024 + 1, 9_000_001])
async def test_a_body_of_any_size_comes_back(worker: Worker, byte_count: int) -> None:
    body = random.Random(7).randbytes(byte_count)
    answer = await worker.call("echo", {}, memoryview(body), timeout_s=T)
    assert bytes(answer.body) == body


async def test_many_at_once_get_their_own_answers(worker: Worker) -> None:
    bodies = [os.urandom(1000 * n) for n in range(50)]
    calls = [worker.call("echo", {"n": n}, body, timeout_s=T) for n, body in enumerate(bodies)]
    answers = await asyncio.gather(*calls)
    assert [bytes(answer.body) for answer in answers] == bodies
    assert worker.start_count == 1


async def test_its_errors_are_raised_here(worker: Worker) -> None:
    with pytest.raises(errors.ObjectNotFound, match="no such thing") as caught:
        await worker.call("refuse", {"key": "k"}, timeout_s=T)
    assert caught.value.members == {"key": "k"}
    with pytest.raises(errors.NotFound, match="called nothing"):
        await worker.call("nothing", {}, timeout_s=T)


async def test_a_defect_is_answered_and_logged_and_the_worker_goes_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("fail", "unsayable"):
        with pytest.raises(errors.InternalError, match=name):
            await worker.call(name, {}, timeout_s=T)
    assert "ZeroDivisionError: a defect" in caplog.text
    await worker.call("echo", {}, timeout_s=T)
    assert worker.start_count == 1


async def test_its_log_lines_are_the_nodes(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    await worker.call("say", {"what": "this"}, timeout_s=T)
    assert ("sprawl.test", logging.WARNING, "said this") in caplog.record_tuples


async def test_its_end_fails_what_it_did_and_the_next_request_starts_another(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    held = asyncio.create_task(worker.call("hold", {}, timeout_s=T))
    with pytest.raises(errors.WorkerLost, match="status 3 during die"):
        await worker.call("die", {}, timeout_s=T)
    with pytest.raises(errors.WorkerLost) as caught:
        await held
    assert (caught.value.retryable, caught.value.outcome) == (True, "unknown")
    await worker.call("echo", {}, timeout_s=T)
    assert worker.start_count == 2
    assert "ended with status 3" in caplog.text


async def test_a_killed_worker_is_replaced(worker: Worker) -> None:
    await worker.call("echo", {}, timeout_s=T)
    process = psutil.Process(worker.pid)
    process.kill()
    while worker.pid == process.pid:
        await asyncio.sleep(0.01)
    await worker.call("echo", {}, timeout_s=T)
    assert worker.start_count == 2


async def test_urgent_requests_pass_background_work(worker: Worker) -> None:
    held = [
        asyncio.create_task(worker.call("hold", {}, timeout_s=T))
        for _ in range(WORKER_BACKGROUND_MAX + 3)
    ]
    # More background work than may be done at once does not keep this one waiting.
    await worker.call("echo", {}, timeout_s=T, urgency=URGENT)
    assert not any(task.done() for task in held)
    await worker.call("release", {}, timeout_s=T, urgency=URGENT)
    await worker.call("release", {}, timeout_s=T, urgency=URGENT)
    await asyncio.gather(*held)


async def test_a_deadline_frees_the_caller_and_tells_the_worker(worker: Worker) -> None:
    await worker.call("echo", {}, timeout_s=T)
    with pytest.raises(errors.Timeout, match=r"no answer to hold within 0\.2 s"):
        await worker.call("hold", {}, timeout_s=0.2)
    # Its thread is free again: all of them take work.
    held = [
        asyncio.create_task(worker.call("hold", {}, timeout_s=T))
        for _ in range(WORKER_BACKGROUND_MAX)
    ]
    await worker.call("release", {}, timeout_s=T, urgency=URGENT)
    await asyncio.gather(*held)


async def test_a_cancelled_request_is_given_up_by_the_worker(worker: Worker) -> None:
    await worker.call("echo", {}, timeout_s=T)
    held = [
        asyncio.create_task(worker.call("hold", {}, timeout_s=T))
        for _ in range(WORKER_BACKGROUND_MAX)
    ]
    await worker.call("echo", {}, timeout_s=T, urgency=URGENT)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    await worker.call("echo", {}, timeout_s=T)


async def test_a_worker_that_hangs_is_killed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host, "WORKER_STUCK_S", 0.3)
    await worker.call("echo", {}, timeout_s=T)
    first = worker.pid
    with pytest.raises(errors.Timeout):
        await worker.call("hang", {}, timeout_s=0.2)
    while worker.pid == first:
        await asyncio.sleep(0.01)
    await worker.call("echo", {}, timeout_s=T)
    assert "hangs in hang and is killed" in caplog.text
    assert worker.start_count == 2


async def test_too_many_requests_are_refused(worker: Worker) -> None:
    held = [
        asyncio.create_task(worker.call("hold", {}, timeout_s=T))
        for _ in range(WORKER_REQUESTS_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(errors.Unavailable) as caught:
        await worker.call("echo", {}, timeout_s=T)
    assert caught.value.code == "busy"
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    await worker.call("echo", {}, timeout_s=T)


async def test_bodies_together_are_bounded(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "WORKER_REQUEST_BYTES_MAX", 1000)
    held = asyncio.create_task(worker.call("hold", {}, b"x" * 900, timeout_s=T))
    await asyncio.sleep(0)
    with pytest.raises(errors.Unavailable):
        await worker.call("echo", {}, b"x" * 101, timeout_s=T)
    await worker.call("echo", {}, b"x" * 100, timeout_s=T)
    await worker.call("release", {}, timeout_s=T, urgency=URGENT)
    await held
    # One alone may be larger than all together.
    await worker.call("echo", {}, b"x" * 2000, timeout_s=T)


async def test_a_body_above_the_bound_is_refused_before_it_is_sent(worker: Worker) -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return WORKER_BODY_BYTES_MAX + 1

    with pytest.raises(errors.TooLarge):
        await worker.call("echo", {}, Large(), timeout_s=T)
    assert worker.pid is None


async def test_stopping_fails_what_is_open_and_ends_the_process(worker: Worker) -> None:
    held = asyncio.create_task(worker.call("hold", {}, timeout_s=T))
    await worker.call("echo", {}, timeout_s=T, urgency=URGENT)
    process = psutil.Process(worker.pid)
    await worker.stop()
    with pytest.raises(errors.Closed):
        await held
    assert not process.is_running()
    with pytest.raises(errors.Closed):
        await worker.call("echo", {}, timeout_s=T)


async def test_a_worker_that_cannot_be_started_fails_requests_in_time(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = new_worker("no.such.module")
    with pytest.raises((errors.WorkerLost, errors.Timeout)):
        await worker.call("echo", {}, timeout_s=3)
    await worker.stop()
    assert "ended with status" in caplog.text
    assert "No module named 'no'" in capfd.readouterr().err


async def test_it_uses_uvloop_as_well(tmp_path: Path) -> None:
    program = """
import asyncio, os, random, uvloop
from sprawl.clock import SystemClock
from sprawl.worker.host import Worker
async def main():
    spawn = lambda name, work: asyncio.get_running_loop().create_task(work, name=name)
    worker = Worker(["tests.unit.worker.jobs"], spawn=spawn, clock=SystemClock(), rng=random.Random(7))
    body = os.urandom(3_000_000)
    assert bytes((await worker.call("echo", {}, body, timeout_s=30)).body) == body
    await worker.stop()
uvloop.run(main())
print("done")
"""
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert (answer.stdout, answer.stderr) == ("done\n", "")


async def test_it_ends_when_the_node_is_killed() -> None:
    program = """
import asyncio, random, sys
from sprawl.clock import SystemClock
from sprawl.worker.host import Worker
async def main():
    spawn = lambda name, work: asyncio.get_running_loop().create_task(work, name=name)
    worker = Worker(["tests.unit.worker.jobs"], spawn=spawn, clock=SystemClock(), rng=random.Random(7))
    asyncio.create_task(worker.call("hang", {}, timeout_s=1000))
    await worker.call("echo", {}, timeout_s=30)
    print(worker.pid, flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    node = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert node.stdout
    pid = int(await asyncio.to_thread(node.stdout.readline))
    process = psutil.Process(pid)
    node.kill()
    node.wait(10)
    node.stdout.close()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        await asyncio.sleep(0.01)


async def test_the_nodes_process_imports_nothing_of_the_work(worker: Worker) -> None:
    """Both sides of a real call: minio is in the worker, not here."""
    program = """
import asyncio, random, sys
import sprawl.cli.node, sprawl.node.node
from sprawl.clock import SystemClock
from sprawl.errors import StoreUnreachable
from sprawl.log.cloud.place import parse_place
from sprawl.log.cloud.remote import WORK_MODULE, RemoteStore
from sprawl.worker.host import Worker
async def main():
    spawn = lambda name, work: asyncio.get_running_loop().create_task(work, name=name)
    worker = Worker([WORK_MODULE, "tests.unit.worker.jobs"], spawn=spawn, clock=SystemClock(),
                    rng=random.Random(7))
    place = parse_place("127.0.0.1:1", bucket="abc", region="r", access_key="a", secret_key="b")
    store = RemoteStore(worker, place, timeout_s=2)
    try:
        await store.head("key")
    except Exception as error:
        print(type(error).__name__)
    there = (await worker.call("modules", {}, timeout_s=30)).members["modules"]
    await worker.stop()
    print("minio" in there, {"minio", "pyarrow", "urllib3", "tests.unit.worker.jobs"} & set(sys.modules))
asyncio.run(main())
"""
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    kind, rest = answer.stdout.splitlines()
    assert kind in ("StoreUnreachable", "Timeout")
    assert rest == "True set()"
