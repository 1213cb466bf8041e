"""Values of options, latencies, results."""

import json
import random

import click
import pytest

from sprawl.cli.ctl import output
from sprawl.cli.ctl.histogram import Histogram
from sprawl.cli.ctl.options import Duration, Range


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("100ms", 0.1), ("1m30s", 90), ("1.5h", 5400), ("250us", 0.00025), (".5s", 0.5)],
)
def test_go_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s2", "-1s", "1 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "from_"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        ("offset:5", "offset:5"),
        ("-10m", "-10m"),
        ("@2026-01-01T00:00:00Z", "time:2026-01-01T00:00:00Z"),
        ("cursor:AQ_-x", "cursor:AQ_-x"),
    ],
)
def test_ranges(text: str, from_: str) -> None:
    assert Range().convert(text, None, None) == from_


@pytest.mark.parametrize("text", ["", "5", "offset:", "offset:-1", "newest", "cursor:a b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Range().convert(text, None, None)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_quantiles_are_within_a_percent(share: float) -> None:
    rng = random.Random(7)
    values = sorted(int(rng.lognormvariate(14, 2)) + 1 for _ in range(20_000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    true = values[int(share * len(values)) - 1]
    assert true * 0.999 <= histogram.quantile_ns(share) <= true * 1.02
    assert histogram.milliseconds()["max"] == pytest.approx(values[-1] / 1e6, abs=1e-3)


def test_an_empty_histogram_is_all_zero() -> None:
    assert set(Histogram().milliseconds().values()) == {0}


def test_json_keeps_names_and_types(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "count": 1}, {"name": "b", "count": None}]
    output.rows(rows, "json")
    assert json.loads(capsys.readouterr().out) == rows
    output.rows(rows, "ndjson")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    output.rows(rows, "raw")
    assert capsys.readouterr().out == "a\nb\n"
    output.rows(rows, "table")
    assert capsys.readouterr().out == "NAME  COUNT\na     1\nb     -\n"
