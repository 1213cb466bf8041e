"""From samples to a row's document: medians, ratios, and what has no figure."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_a_document_has_medians_ratios_and_notes_instead_of_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from bench.peers.result import document
    from bench.peers.rows import Row

    row = Row("r", "a row", "messages/s", {"sprawl": ("x",), "nats": ("y",), "redis": ("z",)})
    samples = {
        "sprawl": [
            {"value": 10.0, "p99_us": 5.0},
            {"value": 30.0, "p99_us": 1.0},
            {"value": 20.0, "p99_us": 9.0},
        ],
        "nats": [{"value": 40.0}, {"value": 40.0}, {"value": 50.0}],
        "redis": [{"value": 1.0}],
    }
    found = document(row, samples, {"redis": "lost=1 of 5"}, {"nats": "sprawl-load y"})
    sprawl, redis = found["systems"]["sprawl"], found["systems"]["redis"]
    assert sprawl["median"] == {"value": 20.0, "p99_us": 5.0}
    assert (sprawl["min"], sprawl["max"], sprawl["spread"]) == (10.0, 30.0, 3.0)
    assert found["ratios"] == {"nats": {"value": 0.5}, "redis": {}}
    assert redis["note"] == "lost=1 of 5"
    assert "median" not in redis
    assert found["systems"]["nats"]["command"] == "sprawl-load y"
