"""Background tasks: each has a name, a parent and an end.

In: coroutines. Out: running tasks. Invariants: a background task that ends with an error is
reported once and stops the node; cancellation always passes; after ``stop`` none is left.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sprawl.errors import TaskFailed
from sprawl.limits import TASKS_MAX

NODE: Final = "node"


class Tasks:
    """The tasks that live as long as the node; ``on_failure`` hears of the first that dies."""

    def __init__(self, on_failure: Callable[[TaskFailed], None]) -> None:
        self._on_failure = on_failure
        self._running: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    @property
    def names(self) -> tuple[str, ...]:
        """``parent/name`` of what runs, in the order of the starts."""
        return tuple(self._running)

    def start(
        self, name: str, work: Coroutine[Any, Any, None], *, parent: str = NODE
    ) -> asyncio.Task[None]:
        """Starts ``work`` on the running loop; the name is free again once it has ended."""
        full_name = f"{parent}/{name}"
        assert full_name not in self._running, f"task {full_name} runs already"
        assert len(self._running) < TASKS_MAX, f"more than tasks_max {TASKS_MAX} tasks"
        assert not self._is_stopping, f"task {full_name} started while stopping"
        task = asyncio.create_task(work, name=full_name)
        self._running[full_name] = task
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancels all, the youngest first, and returns when all have ended."""
        self._is_stopping = True
        for task in reversed(tuple(self._running.values())):
            task.cancel()
            await asyncio.wait({task})

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task.get_name(), None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            failure = TaskFailed(f"{task.get_name()} ended: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._on_failure(failure)
