"""One endpoint as data.

In: nothing. Out: ``Endpoint`` and ``Parameter``. Invariant: what is said here is what routing
checks, the OpenAPI document shows and the contract tests try.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from sprawl.edge.call import Handler
from sprawl.edge.problems import Shape

Path = Literal["hot", "cold", "later"]
"""Who answers: compiled code, a handler here, or nobody in this version (501)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter or header; ``schema`` is its JSON schema."""

    name: str
    schema: dict[str, Any]
    description: str
    where: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method on one path template.

    ``request`` and ``answers`` name schemas of ``schemas.SCHEMAS``; ``errors`` are codes of
    ``errors.REGISTRY`` beyond those that every endpoint has. ``guard`` ``local``: answered to this
    host only. ``ports``: ``both`` also on the health port.
    """

    method: str
    path: str
    name: str
    summary: str
    answered: Path
    handler: Handler | None = None
    parameters: tuple[Parameter, ...] = ()
    request: str | None = None
    request_types: tuple[str, ...] = ("application/json",)
    answers: dict[int, str] = field(default_factory=dict)
    answer_types: tuple[str, ...] = ("application/json",)
    errors: tuple[str, ...] = ()
    since: str = "0.1.0"
    shape: Shape = "problem"
    guard: Literal["none", "local"] = "none"
    ports: Literal["main", "both"] = "main"

    @property
    def is_original(self) -> bool:
        """Whether this is a route of the original, an alias of a use case."""
        return self.shape != "problem"

    @property
    def is_mutating(self) -> bool:
        """Whether a foreign page may not cause it."""
        return self.method not in ("GET", "HEAD")
