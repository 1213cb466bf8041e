"""The OpenAPI 3.1 document, from the table of endpoints.

In: endpoints. Out: the document, built once with the application. Invariant: what this version does
not have is in it, marked by its 501, so that a client can see it.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from sprawl.edge.call import Call
from sprawl.edge.endpoint import Endpoint
from sprawl.edge.schemas import SCHEMAS, TOPIC_NAME, ref
from sprawl.errors import REGISTRY

_TEMPLATE = re.compile(r"{(\w+)}")


def get(call: Call) -> Response:
    """``GET /openapi.json``."""
    return Response(call.context.document, media_type="application/json")


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """The whole document as plain values."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sprawl",
            "version": version,
            "description": "A publish/subscribe node over plain HTTP.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": ["original" if endpoint.is_original else "v1"],
        "parameters": [*_path_parameters(endpoint), *_other_parameters(endpoint)],
        "responses": _responses(endpoint),
        "x-since": endpoint.since,
    }
    if endpoint.answered == "later":
        operation["x-available"] = False
    if endpoint.request is not None:
        schemas = {"application/json": endpoint.request, **_HOT_REQUESTS}
        operation["requestBody"] = {
            "required": endpoint.request != "TopicConfig",
            "content": {
                media: {"schema": ref(schemas.get(media, endpoint.request))}
                for media in endpoint.request_types
            },
        }
    return operation


_HOT_REQUESTS = {"application/vnd.sprawl.messages+json": "PublishBatch"}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": TOPIC_NAME if name == "topic" else {"type": "string", "minLength": 1},
        }
        for name in _TEMPLATE.findall(endpoint.path)
    ]


def _other_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": parameter.where,
            "required": False,
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in endpoint.parameters
    ]


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if endpoint.answered != "later":
        for status, schema in endpoint.answers.items():
            responses[str(status)] = _answer(status, schema, endpoint.answer_types)
    by_status: dict[int, list[str]] = {}
    for code in endpoint.errors:
        by_status.setdefault(REGISTRY[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _error(", ".join(f"`{code}`" for code in codes), endpoint)
    responses["default"] = _error("Any other refusal.", endpoint)
    return responses


def _answer(status: int, schema: str, types: Sequence[str]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema:
        described["content"] = {
            media: {"schema": ref(schema if media == "application/json" else "Text")}
            for media in types
        }
    return described


def _error(description: str, endpoint: Endpoint) -> dict[str, Any]:
    media, schema = "application/problem+json", "Problem"
    if endpoint.is_original:
        media, schema = "application/json", "OriginalError"
    return {"description": description, "content": {media: {"schema": ref(schema)}}}
