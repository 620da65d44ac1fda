"""Drop-in commands and modules for tests that were written for other tools.

Each module uses linesync's client, and imports only ``client`` and the layers below it. ``linesync compat install DIR``
installs the commands. docs/compat.md describes the use of each module, and the differences from the original.
"""
