"""Generates docs/performance.md from stored results: the report of a run, the store of results, the figures and the tables."""
