"""How much the searches do: all that live many random lives or try many random examples.

``LINESYNC_EFFORT`` is the share of a full run. It is 1 unless set, as in ``.ci/run``. ``make quick`` takes a twentieth and
``make test`` a quarter. With ``LINESYNC_SOAK=1`` (``make soak``) they do a night's work, and with ``LINESYNC_SOAK=n`` they
run n lives each.
"""

from __future__ import annotations

import os

__all__ = ["SOAK", "lives"]

SOAK = int(os.environ.get("LINESYNC_SOAK") or 0)
"""0 outside a soak."""
_EFFORT = float(os.environ.get("LINESYNC_EFFORT") or 1)


def lives(full: int, soak: int, least: int = 10) -> int:
    """The number of lives or examples of a search.

    :param full: in a full run.
    :param soak: with LINESYNC_SOAK=1.
    :param least: in any run.
    """
    if SOAK:
        return soak if SOAK == 1 else SOAK
    return min(full, max(least, round(full * _EFFORT)))
