"""Benchmarks: linesync, its rivals and the physical limits, in one run. See ``python -m tools.bench --help``.

The package ``measure`` has the parts of the benchmark. ``rivals`` runs the programs that linesync is compared with.
``testbed`` has the processes and cables that the parts use. ``page`` generates docs/performance.md from the results.
"""
