"""Sprawl: a publish/subscribe node over plain HTTP whose hot paths are compiled."""

__version__: str


def __getattr__(name: str) -> str:
    # Reading the distribution's metadata takes a third of the node's start, so only who asks pays.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    globals()[name] = version("sprawl-node")
    return str(globals()[name])
