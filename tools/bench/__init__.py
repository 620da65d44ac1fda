"""Benchmarks of linesync, of its *rivals* (the programs with which it is compared) and of the physical limits.

``measure`` contains the parts of the benchmark, ``rivals`` runs the rivals, and ``testbed`` contains processes and cables for
the parts. ``page`` generates docs/performance.md from the results. See ``python -m tools.bench --help``.
"""
