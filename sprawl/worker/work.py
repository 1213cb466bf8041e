"""What a room gives the worker process to do.

In: a ``Call`` on a thread of the worker. Out: an ``Answer``, or an error of ``sprawl.errors``. A
module that the node names has a function ``handlers``; it is imported in the worker process only,
and may import what is heavy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sprawl.worker.frames import Body


class Call:
    """One request: ``members`` and ``body`` as the node sent them, ``left_s`` until its deadline."""

    def __init__(
        self, members: Mapping[str, object], body: Body, left_s: Callable[[], float]
    ) -> None:
        self.members = members
        self.body = body
        self.is_cancelled = False
        self._left_s = left_s

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 when the deadline has passed or nobody waits any more."""
        return 0.0 if self.is_cancelled else self._left_s()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    members: Mapping[str, object] = field(default_factory=dict)
    body: Body = b""


Handler = Callable[[Call], Answer]


class Handlers(Protocol):
    """A function of a module; called once, when the worker starts."""

    def __call__(self) -> Mapping[str, Handler]:
        """What each name does."""
