"""The worker process: one process beside the node for all that is heavy.

In: requests by name, with members and a body. Out: answers, or errors of ``sprawl.errors``; the
worker's log lines as lines of the node. Invariants: it is a program started anew, never a fork; it
is started at the first request and again after it ended; its end is never the node's, and it ends
when the node does; nothing on the way is an evaluable format; the node's process imports nothing of
what the worker does, it only names the modules. Layer: below every room that has work for it.
Source: docs/design.md section 4.
"""
