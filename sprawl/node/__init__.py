"""The composition root: settings come in, a running node goes out.

Invariants: the only room that constructs services; started in the order of their needs, stopped in
reverse. Layer: above every room but the commands. Read ``node.py`` from top to bottom.
"""
