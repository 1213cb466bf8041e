"""Every route, field name and log line of the original, as thin aliases of our use cases.

In: calls. Out: responses in the shapes that clients of the original read. Invariants: unknown
members of a request are ignored here; JSON is compact, keys in a fixed order, one newline; a figure
that we do not have is derived from a real one or left out. Nothing elsewhere knows these spellings.
"""
