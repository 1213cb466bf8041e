"""The same load against the node and the systems it is compared with, in one run.

In: rows (``rows``), systems (``systems``), the generator of ``bench/load``. Out: one JSON document a row
in ``perf/results``. Invariants: server on core 0, load on core 1, a fresh server for every measurement,
the order of systems reversed each round; a system that is missing leaves an empty entry and one line
with its install command. Source of the rules: docs/design/bench.md.
"""
