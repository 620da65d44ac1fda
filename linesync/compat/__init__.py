"""Drop-in commands and modules: what tests written for other synchronisers call, over linesync.

Each is a thin caller of the client API and stands beside ``cli``: it imports ``client`` and below. ``linesync compat
install DIR`` writes the commands; docs/compat.md says how to use each, and what differs.
"""
