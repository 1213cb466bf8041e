"""One cold request as its handler sees it, and what handlers may use.

In: an ASGI request that the dispatcher has read and checked. Out: ``Call`` and ``Context``.
Invariant: a handler is a function of its call; it does not wait.
"""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from sprawl.broker.engine import Engine
from sprawl.broker.subscribe import Subscriptions
from sprawl.edge.node_view import NodeView


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the handlers of one node share; ``document`` is the OpenAPI document as JSON."""

    engine: Engine
    view: NodeView
    subscriptions: Subscriptions
    document: bytes = b"{}"
    is_health_port: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose path, query and body are read; ``path`` holds the values of the template.

    ``peer`` is the client's address, empty when it has none.
    """

    context: Context
    method: str
    url_path: str
    path: dict[str, str]
    query: QueryParams
    raw_query: bytes
    headers: Headers
    body: bytes
    peer: str
    request_id: str

    @property
    def engine(self) -> Engine:
        """The log."""
        return self.context.engine

    @property
    def view(self) -> NodeView:
        """The node."""
        return self.context.view


Handler = Callable[[Call], Response]
"""Answers one call or raises a ``SprawlError``."""
