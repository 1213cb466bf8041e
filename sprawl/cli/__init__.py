"""The two commands: ``sprawl`` (``node.py``) starts a node, ``sprawlctl`` talks to one.

In: command lines. Out: exit statuses. Layer: the topmost; nothing imports it.
"""
