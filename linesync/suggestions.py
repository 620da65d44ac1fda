"""The advice in an error about an unknown name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["near"]


def near(name: str, known: Iterable[str], listing: str) -> str:
    """The most similar name as a question, or the list of all names.

    :param listing: the words before the list, such as ``the keys are``.
    """
    from difflib import get_close_matches

    known = sorted(known)
    found = get_close_matches(name.lower().replace("_", "-"), known, 1)
    return f"did you mean {found[0]}?" if found else f"{listing} {', '.join(known)}"
