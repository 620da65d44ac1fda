"""The command line. Each command has one module, which is imported only when that command runs.

The module contains ``HELP`` (one line), ``EXAMPLES`` (text), ``arguments(parser)``, which adds the arguments, and
``run(args)``, which returns the exit code.
"""
