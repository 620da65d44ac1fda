"""Runs the rivals, which are the programs with which linesync is compared."""
