"""The programs that linesync is measured beside, and how each of them is run."""
