"""Sprawl: a publish/subscribe node over plain HTTP whose hot paths are compiled."""

from importlib.metadata import version

__version__ = version("sprawl-node")
