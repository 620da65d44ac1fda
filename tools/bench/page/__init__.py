"""From the results of a run to docs/performance.md: the report, the results that are kept, the figures and tables."""
