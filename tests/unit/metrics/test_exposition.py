"""Our exposition against the parsers of prometheus_client, and the figures behind it."""

import random

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sprawl.metrics.exposition import openmetrics, prometheus
from sprawl.metrics.registry import Family, Histogram, Metric, Sample, families, histogram
from tests.models.plain_engine import PlainEngine
from tests.models.plain_node import SAMPLE

PROMISED = (
    "sprawl_threshold_adjustments",
    "sprawl_threshold_values",
    "sprawl_scaling_recommendations",
    "sprawl_scaling_oscillations",
)


def held() -> list[Family]:
    engine = PlainEngine()
    engine.extra_counters = {"not_in_the_table": 3}
    engine.publish("t", b"four")
    node = {"node_id": 'a"b\\c\nd', "version": "0.1.0"}
    stats = engine.stats()
    counts = [0] * 40
    counts[12] = 1
    stats["histograms"] = {"receive": counts, "tick": [0] * 40}
    stats["sums_ns"] = {"receive": 3_000}
    return list(families(stats, SAMPLE, node, 12.5))


def test_openmetrics_is_read_back_as_it_was_written() -> None:
    text = openmetrics(held()).decode()
    assert text.endswith("\n# EOF\n")
    read = {family.name: family for family in parse_open(text)}
    assert set(PROMISED) <= set(read)
    (node,) = read["sprawl_node"].samples
    assert node.labels["node_id"] == 'a"b\\c\nd'
    assert read["sprawl_messages_received"].samples[0].value == 1
    assert read["sprawl_not_in_the_table"].samples[0].value == 3
    assert read["sprawl_log_bytes"].unit == "bytes"
    receive = {
        (s.name, s.labels.get("le")): s.value for s in read["sprawl_receive_seconds"].samples
    }
    assert receive["sprawl_receive_seconds_count", None] == 1
    assert receive["sprawl_receive_seconds_sum", None] == 3e-06
    assert receive["sprawl_receive_seconds_bucket", "+Inf"] == 1
    assert read["sprawl_receive_seconds"].type == "histogram"


def test_prometheus_text_is_read_back_as_it_was_written() -> None:
    text = prometheus(held()).decode()
    read = {family.name: family for family in parse_text(text)}
    assert read["sprawl_messages_received"].samples[0].name == "sprawl_messages_received_total"
    assert read["sprawl_messages_received"].type == "counter"
    assert "# TYPE sprawl_threshold_adjustments_total counter" in text
    assert "# EOF" not in text


def test_a_node_without_client_authentication_says_so() -> None:
    text = prometheus(held()).decode()
    assert "\nsprawl_client_authentication_enabled 0\n" in text


def test_every_family_has_its_own_name() -> None:
    names = [family.metric.name for family in held()]
    assert len(names) == len(set(names))


def test_a_family_without_a_unit_has_no_unit_line() -> None:
    family = Family(Metric("sprawl_x", "gauge", "x"), (Sample("", (), 1),))
    assert openmetrics([family]) == b"# TYPE sprawl_x gauge\n# HELP sprawl_x x\nsprawl_x 1\n# EOF\n"


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 1.0])
def test_quantile_is_within_its_bucket(quantile: float) -> None:
    source = random.Random(7)
    durations = sorted(source.randrange(1, 1 << 30) for _ in range(5_000))
    counts = [0] * 40
    for duration in durations:
        counts[duration.bit_length()] += 1
    held = Histogram(tuple(counts), sum(durations))
    true = durations[min(len(durations) - 1, int(quantile * len(durations)))]
    assert true / 2 <= held.quantile_ns(quantile) <= true * 2
    assert held.mean_ns() == sum(durations) / len(durations)
    assert durations[-1] < held.max_ns() <= 2 * durations[-1]


def test_mean_without_a_sum_is_within_the_buckets_width() -> None:
    held = Histogram((0, 0, 0, 4))
    assert 4 <= held.mean_ns() < 8


def test_empty_histogram_is_zero() -> None:
    held = histogram({"histograms": {}}, "publish")
    assert (held.count, held.quantile_ns(0.99), held.mean_ns(), held.max_ns()) == (0, 0.0, 0.0, 0)
