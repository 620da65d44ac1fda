"""The command line: one file for each command, which is imported only when that command runs.

A command's module has ``HELP`` (one line), ``EXAMPLES`` (text), ``arguments(parser)`` and ``run(args)``, which returns
the exit code.
"""
