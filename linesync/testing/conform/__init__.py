"""A tester for any endpoint: it plays the other end of the line, and checks the rules of docs/protocol.md one by one.

:func:`run` is pure: it waits and sends only with its :class:`~linesync.testing.conform.wire.Wire`.
:mod:`linesync.testing.conform.loop_wire` makes a wire of a line of :mod:`linesync.transports`.
"""

from __future__ import annotations

from .monitor import WATCHED
from .rules import FAILED, MUST, PASSED, SHOULD, SKIPPED, Result, Rule
from .suite import RULES, conforms, run
from .wire import Wire

__all__ = [
    "FAILED",
    "MUST",
    "PASSED",
    "RULES",
    "SHOULD",
    "SKIPPED",
    "WATCHED",
    "Result",
    "Rule",
    "Wire",
    "conforms",
    "run",
]
