"""Tasks: each has a name that begins with its room, and an end.

In: coroutines. Out: running tasks. Invariants: a task that ends with an error is reported once and
stops the node; cancellation always passes; after ``stop`` none is left. How many run is bounded by
who starts them: the rooms by their number, requests by the connections.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sprawl.errors import SprawlError, TaskFailed


class Tasks:
    """All tasks of a node; ``on_failure`` hears of each that dies."""

    def __init__(self, on_failure: Callable[[TaskFailed], None]) -> None:
        self._on_failure = on_failure
        self._running: dict[asyncio.Task[None], None] = {}
        self._is_stopping = False

    @property
    def names(self) -> tuple[str, ...]:
        """What runs, in the order of the starts."""
        return tuple(task.get_name() for task in self._running)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Starts ``work`` on the running loop as ``room.what``; refused while stopping."""
        if self._is_stopping:
            work.close()
            raise TaskFailed(f"task {name} started while the node stops")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._ended)
        return task

    def fail(self, error: SprawlError) -> None:
        """A part of the node that is no task has failed for good: stops the node."""
        failure = TaskFailed(error.detail)
        failure.__cause__ = error
        self._on_failure(failure)

    async def stop(self) -> None:
        """Cancels all, the youngest first, and returns when all have ended."""
        self._is_stopping = True
        running = tuple(reversed(self._running))
        for task in running:
            task.cancel()
        for task in running:
            await asyncio.wait({task})

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            failure = TaskFailed(f"{task.get_name()} ended: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._on_failure(failure)
