"""Bindings of the Rust crate ``sprawl-core``; see the facades that own each type."""

__version__: str
