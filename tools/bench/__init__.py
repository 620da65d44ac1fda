"""Benchmarks: linesync, its rivals and the limits set by physics, in one run. ``python -m tools.bench --help``."""
