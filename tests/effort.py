"""The effort of the searches. A search is a test with many random lives or many random examples.

``LINESYNC_EFFORT`` is the effort as a share of a full run. The default is 1, which ``.ci/run`` uses. ``make quick`` uses a
twentieth and ``make test`` a tenth. With ``LINESYNC_SOAK=1`` (``make soak``) the searches need a night, and with
``LINESYNC_SOAK=n`` each search has n lives.
"""

from __future__ import annotations

import os

__all__ = ["SOAK", "lives"]

SOAK = int(os.environ.get("LINESYNC_SOAK") or 0)
"""The value of ``LINESYNC_SOAK``; 0 if it is not set."""
_EFFORT = float(os.environ.get("LINESYNC_EFFORT") or 1)


def lives(full: int, soak: int, least: int = 10) -> int:
    """Return the number of lives or examples of a search.

    :param full: the number in a full run.
    :param soak: the number with LINESYNC_SOAK=1.
    :param least: the minimum number.
    """
    if SOAK:
        return soak if SOAK == 1 else SOAK
    return min(full, max(least, round(full * _EFFORT)))
