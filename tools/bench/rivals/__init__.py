"""The programs that linesync is compared with, and how each of them is run."""
