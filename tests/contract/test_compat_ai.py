"""The original's predictor routes on a node without a predictor: off, empty, or not in this version.

Every GET that lists answers; everything that would predict, train or set is refused, certainly
without effect.
"""

import httpx
import pytest

RESOURCES = ["cpu", "memory", "disk", "network", "message_rate"]
REFUSAL = ["error", "code", "status", "retryable", "outcome"]


def test_the_overview_names_the_endpoints_and_the_load_now(http: httpx.Client) -> None:
    shown = http.get("/ai").json()
    assert list(shown)[:3] == ["endpoints", "status", "current_metrics"]
    assert shown["endpoints"] == [
        "/ai/status",
        "/ai/predictions",
        "/ai/anomalies",
        "/ai/recommendations",
        "/ai/train",
        "/ai/thresholds",
    ]
    assert shown["status"] == http.get("/ai/status").json()
    assert list(shown["current_metrics"]) == [*RESOURCES, "timestamp"]
    assert 0 < shown["current_metrics"]["memory"] < 100
    assert shown["enabled"] is False


def test_the_status_is_exactly_so(http: httpx.Client) -> None:
    assert http.get("/ai/status").text == (
        '{"enabled":false,"models":{"cpu":false,"memory":false,"disk":false,"network":false,'
        '"message_rate":false},"sample_rate":"1s"}\n'
    )


def test_there_are_no_anomalies_and_no_recommendations(http: httpx.Client) -> None:
    assert http.get("/ai/anomalies").text == '{"anomalies":[],"enabled":false}\n'
    shown = http.get("/ai/recommendations").json()
    assert list(shown) == ["node_id", "recommendations", "timestamp", "enabled"]
    assert (shown["recommendations"], shown["enabled"]) == ([], False)
    assert shown["node_id"] == http.get("/status").json()["node_id"]


SUCCESS = ["error", "success", *REFUSAL[1:]]


@pytest.mark.parametrize(
    ("method", "path", "body", "members"),
    [
        ("GET", "/ai/predictions", "", SUCCESS),
        *[("GET", f"/ai/predictions?resource={name}", "", SUCCESS) for name in RESOURCES],
        ("POST", "/ai/predictions", '{"resource":"cpu"}', SUCCESS),
        ("POST", "/ai/train?resource=cpu,memory,message_rate", "", SUCCESS),
        ("POST", "/ai/train", '{"resource":"cpu","lookback":24}', SUCCESS),
        ("POST", "/ai/train", "", SUCCESS),
        ("POST", "/ai/anomalies", "{}", REFUSAL),
        *[
            (method, path, body, REFUSAL)
            for path in ("/ai/thresholds", "/api/v1/ai/thresholds")
            for method, body in [("GET", ""), ("PUT", '{"CPUScaleUpThreshold":85}'), ("POST", "{}")]
        ],
        ("POST", "/ai/thresholds/reload", "", REFUSAL),
        ("POST", "/api/v1/ai/thresholds/reload", "", REFUSAL),
    ],
)
def test_what_needs_a_predictor_is_501(
    http: httpx.Client, method: str, path: str, body: str, members: list[str]
) -> None:
    answer = http.request(method, path, content=body)
    assert answer.status_code == 501
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json()
    assert list(shown) == members
    assert (shown["code"], shown["status"]) == ("not_available", 501)
    assert (shown["retryable"], shown["outcome"], shown.get("success", False)) == (
        False,
        "none",
        False,
    )
    assert shown["error"] == f"{method} {path.partition('?')[0]} is not available in this version"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/ai/train", "POST"),
        ("POST", "/ai/status", "GET, HEAD"),
        ("POST", "/ai", "GET, HEAD"),
        ("DELETE", "/ai/thresholds", "GET, HEAD, POST, PUT"),
        ("GET", "/ai/thresholds/reload", "POST"),
    ],
)
def test_another_method_is_405_and_names_those_there_are(
    http: httpx.Client, method: str, path: str, allow: str
) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["code"] == "method_not_allowed"
