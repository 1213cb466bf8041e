"""Micro benches: one operation of a compiled structure, without a socket."""
