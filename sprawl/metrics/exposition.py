"""Prometheus text 0.0.4 and OpenMetrics 1.0.0, from the families of ``registry``.

In: families. Out: bytes and their content type. Invariants: HELP, TYPE and UNIT once per family,
its samples together; OpenMetrics ends in ``# EOF``; label values are escaped. Source: the
OpenMetrics specification; the parser of prometheus_client is the oracle in the tests.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from sprawl.metrics.registry import Family, Metric, Sample

PROMETHEUS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def openmetrics(families: Iterable[Family]) -> bytes:
    """The families as OpenMetrics text."""
    lines = [line for family in families for line in _openmetrics_family(family)]
    return "\n".join([*lines, "# EOF\n"]).encode()


def prometheus(families: Iterable[Family]) -> bytes:
    """The families as Prometheus text, where a counter's type line carries its full name."""
    lines = [line for family in families for line in _prometheus_family(family)]
    return "\n".join([*lines, ""]).encode()


def _openmetrics_family(family: Family) -> Iterator[str]:
    metric = family.metric
    yield f"# TYPE {metric.name} {metric.kind}"
    if metric.unit and metric.name.endswith(f"_{metric.unit}"):
        yield f"# UNIT {metric.name} {metric.unit}"
    yield f"# HELP {metric.name} {_escape(metric.help)}"
    yield from (_line(metric, sample) for sample in family.samples)


def _prometheus_family(family: Family) -> Iterator[str]:
    metric = family.metric
    suffix = {"counter": "_total", "info": "_info"}.get(metric.kind, "")
    kind = "gauge" if metric.kind == "info" else metric.kind
    yield f"# HELP {metric.name}{suffix} {_escape(metric.help)}"
    yield f"# TYPE {metric.name}{suffix} {kind}"
    yield from (_line(metric, sample) for sample in family.samples)


def _line(metric: Metric, sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels)
    braces = f"{{{labels}}}" if labels else ""
    return f"{metric.name}{sample.suffix}{braces} {sample.value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
