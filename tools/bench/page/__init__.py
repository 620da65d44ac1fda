"""Generates docs/performance.md: the report of a run, the stored results, the figures and the tables."""
