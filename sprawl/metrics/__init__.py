"""Figures of the node: one table of metrics, its reading and its text forms.

In: the engine's ``stats()`` and a sample of the machine. Out: values by name, Prometheus and
OpenMetrics text. Invariants: a figure is measured or absent, never invented; names begin with
``sprawl_`` and never change their meaning.
"""
