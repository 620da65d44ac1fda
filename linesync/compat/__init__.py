"""Drop-in commands and modules for tests that were written for other synchronisers.

Each calls the client API and imports only ``client`` and the layers below it. ``linesync compat install DIR`` installs the
commands. docs/compat.md says how to use each of them, and what differs from the original.
"""
