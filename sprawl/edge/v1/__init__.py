"""Handlers of the ``/v1`` endpoints that compiled code does not answer.

In: a ``Call``. Out: a response, or a ``SprawlError`` that becomes problem+json. Invariants: input
is strict; answers are those of ``docs/api.md``.
"""
