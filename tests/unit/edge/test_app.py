"""Routing and refusals: what every endpoint has in common."""

import dataclasses

import httpx
import pytest

from sprawl.edge.app import build_app
from sprawl.edge.call import Context
from sprawl.edge.endpoint import Endpoint
from sprawl.edge.endpoints import ENDPOINTS
from tests.models.plain_engine import PlainEngine

LATER = [e for e in ENDPOINTS if e.answered == "later"]


def filled(endpoint: Endpoint) -> str:
    names = {"{topic}": "t", "{id}": "x", "{group}": "g", "{name}": "n"}
    path = endpoint.path
    for template, value in names.items():
        path = path.replace(template, value)
    return path


def test_every_endpoint_has_its_own_method_and_path() -> None:
    assert len({(e.method, e.path) for e in ENDPOINTS}) == len(ENDPOINTS)
    assert len({e.name for e in ENDPOINTS}) == len(ENDPOINTS)


def test_hot_endpoints_have_no_handler_and_all_others_have_one() -> None:
    assert all((e.handler is None) == (e.answered == "hot") for e in ENDPOINTS)


@pytest.mark.parametrize("endpoint", LATER, ids=lambda e: f"{e.method} {e.path}")
async def test_later_endpoints_are_501_in_their_shape(
    client: httpx.AsyncClient, endpoint: Endpoint
) -> None:
    answer = await client.request(endpoint.method, filled(endpoint))
    assert answer.status_code == 501
    body = answer.json()
    assert (body["code"], body["status"], body["outcome"]) == ("not_available", 501, "none")
    if endpoint.shape == "problem":
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["instance"] == filled(endpoint)
    else:
        assert "error" in body
        assert body.get("success", False) is False


async def test_unknown_path_under_v1_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/nothing")
    assert answer.status_code == 404
    assert list(answer.json()) == [
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "retryable",
        "outcome",
        "request_id",
    ]


async def test_unknown_path_elsewhere_has_the_shape_of_the_original(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/nothing")
    assert answer.status_code == 404
    assert list(answer.json()) == ["error", "code", "status", "retryable", "outcome"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/v1/topics/t", "DELETE, GET, HEAD, PUT"),
        ("PUT", "/v1/topics/t/messages", "GET, HEAD, POST"),
        ("GET", "/publish", "POST"),
        ("GET", "/v1/topics/t:undelete", "POST"),
        ("POST", "/health", "GET, HEAD"),
    ],
)
async def test_wrong_method_names_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert answer.json()["code"] == "method_not_allowed"


async def test_head_has_the_headers_of_get(client: httpx.AsyncClient) -> None:
    got, head = await client.get("/status"), await client.head("/status")
    assert head.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_trailing_slash_is_tolerated_on_original_routes_only(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/status/")).status_code == 200
    assert (await client.get("/v1/node/")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_mutation_by_a_foreign_page_is_403(
    client: httpx.AsyncClient, engine: PlainEngine, headers: dict[str, str]
) -> None:
    answer = await client.put("/v1/topics/t", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "foreign_origin"
    assert engine.topics == {}
    assert (await client.get("/v1/topics", headers=headers)).status_code == 200


async def test_mutation_by_an_own_page_is_answered(client: httpx.AsyncClient) -> None:
    headers = {"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    assert (await client.put("/v1/topics/t", headers=headers)).status_code == 201


async def test_body_above_its_bound_is_413(client: httpx.AsyncClient) -> None:
    answer = await client.post("/subscribe", content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


async def test_defect_of_a_handler_is_500_with_unknown_outcome(
    client: httpx.AsyncClient, engine: PlainEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(engine, "stats", broken)
    answer = await client.get("/v1/node")
    assert answer.status_code == 500
    assert answer.json()["outcome"] == "unknown"
    assert "secret" not in answer.text


async def test_health_port_has_health_ready_and_metrics_only(context: Context) -> None:
    app = build_app(dataclasses.replace(context, is_health_port=True))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        served = {e.path for e in ENDPOINTS if (await http.get(filled(e))).status_code == 200}
        assert served == {"/health", "/healthz", "/ready", "/metrics"}
        metrics = await http.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
