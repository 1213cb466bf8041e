"""The ASGI application: the table of endpoints, routed.

In: the table and a ``Context``. Out: a starlette router. Invariants: every refusal has the shape of
its route; 404 and 405 (with ``Allow``) come from here; a mutating request of a foreign page and a
destructive one from elsewhere are refused before their handler; HEAD works wherever GET does; on
the original's routes a trailing slash is tolerated.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator
from typing import Final

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from sprawl.edge.call import Call, Context
from sprawl.edge.endpoint import Endpoint
from sprawl.edge.endpoints import ENDPOINTS
from sprawl.edge.openapi import document
from sprawl.edge.origin import SAFE_METHODS, check_local, check_origin
from sprawl.edge.problems import Shape, refusal
from sprawl.errors import InternalError, InvalidRequest, NotFound, SprawlError, TooLarge
from sprawl.limits import COLD_BODY_BYTES_MAX

_log: Final = logging.getLogger("sprawl.edge")
_JSON_TYPES: Final = ("application/json",)


def openapi_bytes(version: str) -> bytes:
    """The OpenAPI document of this version."""
    return orjson.dumps(document(ENDPOINTS, version), option=orjson.OPT_INDENT_2) + b"\n"


def build_app(context: Context) -> "Application":
    """The application of one port; on the health port only what the table says is there."""
    served = [e for e in ENDPOINTS if e.ports == "both" or not context.is_health_port]
    return Application(context, served)


class Application:
    """Routes a request to the endpoints of its path, and answers what has none."""

    def __init__(self, context: Context, endpoints: Iterable[Endpoint]) -> None:
        self._context = context
        self._ids = request_ids(context.view.node_id)
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            methods = by_path.setdefault(endpoint.path, {})
            assert endpoint.method not in methods, f"{endpoint.method} {endpoint.path} twice"
            methods[endpoint.method] = endpoint
        routes = [Route(path, _PathEndpoint(self, methods)) for path, methods in _specific(by_path)]
        self._router = Router(routes, redirect_slashes=False, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request (ASGI 3.0)."""
        path: str = scope["path"]
        if path.endswith("/") and len(path) > 1 and not path.startswith("/v1"):
            scope["path"] = path.rstrip("/") or "/"
        await self._router(scope, receive, send)

    async def respond(self, methods: dict[str, Endpoint], request: Request) -> Response:
        """The answer of one path's endpoints."""
        request_id = next(self._ids)
        shape: Shape = next(iter(methods.values())).shape
        try:
            endpoint = _endpoint_for(methods, request.method)
            shape = endpoint.shape
            call = await _read(endpoint, request, self._context, request_id)
            assert endpoint.handler is not None
            answer = endpoint.handler(call)
            return answer if isinstance(answer, Response) else await answer
        except _MethodRefused as refused:
            error: SprawlError = refused.error
            return self._refuse(error, shape, request, request_id, allow=refused.allow)
        except SprawlError as raised:
            return self._refuse(raised, shape, request, request_id)
        except Exception:  # noqa: BLE001 - the border: a defect becomes a 500, logged
            _log.exception(
                "request failed",
                extra={"path": request.url.path, "request_id": request_id},
            )
            defect = InternalError("a defect of this node; its log has the details")
            return self._refuse(defect, shape, request, request_id)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path: str = scope["path"]
        shape: Shape = "problem" if path.startswith("/v1") else "original"
        error = NotFound(f"nothing is at {path[:256]!r}")
        response = self._refuse(error, shape, request, next(self._ids))
        await response(scope, receive, send)

    def _refuse(
        self,
        error: SprawlError,
        shape: Shape,
        request: Request,
        request_id: str,
        allow: str | None = None,
    ) -> Response:
        path = request.scope["raw_path"].decode("latin-1")[:1024]
        return refusal(error, shape, instance=path, request_id=request_id, allow=allow)


def request_ids(node_id: str) -> Iterator[str]:
    """Ids that tell two refusals of one node apart, in its log and in the answer."""
    return (f"{node_id[:8]}-{number}" for number in itertools.count(1))


class _PathEndpoint:
    """The ASGI application of one path."""

    def __init__(self, application: Application, methods: dict[str, Endpoint]) -> None:
        self._application = application
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._application.respond(self._methods, request)
        await response(scope, receive, send)


class _MethodRefused(Exception):
    def __init__(self, error: SprawlError, allow: str) -> None:
        super().__init__(error.detail)
        self.error = error
        self.allow = allow


def _endpoint_for(methods: dict[str, Endpoint], method: str) -> Endpoint:
    wanted = "GET" if method == "HEAD" and "HEAD" not in methods else method
    endpoint = methods.get(wanted)
    if endpoint is not None and endpoint.handler is not None:
        return endpoint
    allowed = set(methods) | ({"HEAD"} if "GET" in methods else set())
    allow = ", ".join(sorted(allowed))
    detail = f"method {method[:32]} is not one of {allow}"
    raise _MethodRefused(InvalidRequest(detail, code="method_not_allowed"), allow)


async def _read(endpoint: Endpoint, request: Request, context: Context, request_id: str) -> Call:
    peer = request.client.host if request.client is not None else ""
    if request.method not in SAFE_METHODS:
        check_origin(request.headers)
    if endpoint.guard == "local":
        check_local(peer, request.headers)
    body = await request.body()
    if len(body) > COLD_BODY_BYTES_MAX:
        raise TooLarge(f"body of {len(body)} bytes exceeds {COLD_BODY_BYTES_MAX}")
    if endpoint.shape == "problem" and endpoint.answered == "cold":
        _check_strict(endpoint, request, body)
    return Call(
        context=context,
        method=request.method,
        url_path=request.url.path,
        path=dict(request.path_params),
        query=request.query_params,
        raw_query=request.scope["query_string"],
        headers=request.headers,
        body=body,
        peer=peer,
        request_id=request_id,
    )


def _check_strict(endpoint: Endpoint, request: Request, body: bytes) -> None:
    known = {p.name for p in endpoint.parameters if p.where == "query"}
    is_open = endpoint.name == "check_read"  # header.<name>= filters are open-ended
    for name in request.query_params:
        if name not in known and not (is_open and name.startswith("header.")):
            shown = ", ".join(sorted(known)) or "none"
            raise InvalidRequest(
                f"unknown parameter {name[:64]!r}; known are: {shown}", code="invalid_parameter"
            )
    if body and endpoint.request is None:
        raise InvalidRequest(f"{endpoint.method} here takes no body", code="bad_request")
    if body and endpoint.request is not None:
        _check_json_type(request.headers)


def _check_json_type(headers: Headers) -> None:
    given = headers.get("content-type", "application/json")
    if given.partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise InvalidRequest(
            f"content type {given[:128]!r} must be application/json (curl: --json)",
            code="unsupported_media_type",
        )


def _specific(
    by_path: dict[str, dict[str, Endpoint]],
) -> Iterator[tuple[str, dict[str, Endpoint]]]:
    """Templates with a verb before those that would take the verb for part of a name."""
    return iter(sorted(by_path.items(), key=lambda item: "}:" not in item[0]))
