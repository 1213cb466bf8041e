"""How fast is it now: micro benches, a load generator, and the peers under the same load.

In: the checkout and what is on PATH. Out: documents in ``perf/results``. Not part of the distribution.
"""
