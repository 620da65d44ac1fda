"""What people type: one file a command, imported when it is typed.

A command's module has ``HELP`` (one line), ``EXAMPLES`` (text), ``arguments(parser)`` and ``run(args)``, which returns
the exit code.
"""
