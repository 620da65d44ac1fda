"""Benchmarks: linesync, its rivals and the physical limits, in one run. See ``python -m tools.bench --help``.

``measure`` has the parts of the benchmark, ``rivals`` the programs that linesync is compared with, ``testbed`` the
processes and cables that the parts use, and ``page`` what makes docs/performance.md of the results.
"""
