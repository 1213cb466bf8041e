"""The verbs of the node: one use case per file, over the engine.

In: names and values that the edge has read from a request, and the time. Out: plain dictionaries
and dataclasses, or a ``SprawlError``. Invariants: no HTTP, no clock, no socket here; everything is
synchronous, because the engine answers within microseconds. Layer: below ``edge``, above the
engine, which is compiled.
"""
