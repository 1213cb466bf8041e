"""Background tasks: none dies unheard, none outlives the node."""

import asyncio

import pytest

from sprawl.errors import TaskFailed
from sprawl.node.tasks import Tasks


async def test_a_task_that_fails_is_reported_with_its_name_and_cause() -> None:
    heard: asyncio.Future[TaskFailed] = asyncio.get_running_loop().create_future()
    tasks = Tasks(heard.set_result)

    async def broken() -> None:
        raise ValueError("boom")

    tasks.start("room.broken", broken())
    failure = await asyncio.wait_for(heard, 5)
    assert failure.detail == "room.broken ended: ValueError: boom"
    assert isinstance(failure.__cause__, ValueError)
    assert tasks.names == ()


async def test_stop_cancels_all_and_waits_the_youngest_first() -> None:
    ended: list[str] = []
    tasks = Tasks(lambda failure: pytest.fail(failure.detail))

    async def life(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    for name in ("a", "b"):
        tasks.start(name, life(name))
    await asyncio.sleep(0)
    assert tasks.names == ("a", "b")
    await tasks.stop()
    assert ended == ["b", "a"]
    assert tasks.names == ()


async def test_no_task_starts_while_the_node_stops() -> None:
    tasks = Tasks(lambda failure: pytest.fail(failure.detail))
    await tasks.stop()

    async def late() -> None:
        return

    with pytest.raises(TaskFailed, match=r"room\.late started while the node stops"):
        tasks.start("room.late", late())


async def test_a_task_that_ends_by_itself_is_forgotten() -> None:
    tasks = Tasks(lambda failure: pytest.fail(failure.detail))

    async def short() -> None:
        return

    await tasks.start("short", short())
    await tasks.start("short", short())
    assert tasks.names == ()
