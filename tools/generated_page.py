"""Pages with generated parts. Each part is between ``<!-- made: NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["GeneratedPage"]

_ROOT = Path(__file__).resolve().parents[1]
_MARK = re.compile(r"(<!-- made: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


class GeneratedPage:
    """A page with generated parts.

    :param path: the file of the page.
    :param make: returns the text of a part; raises KeyError for an unknown part.
    :param source: the name of the source of the parts, for messages.
    """

    def __init__(self, path: Path, make: Callable[[str], str], source: str) -> None:
        self.path = path
        self._make = make
        self._source = source

    def filled(self, page: str) -> str:
        """The page, with all its parts generated again.

        :raises KeyError: the page names a part that does not exist.
        """
        return _MARK.sub(lambda match: f"{match[1]}{self._make(match[2])}{match[4]}", page)

    def differences(self, page: str) -> list[str]:
        """The lines of a diff from the page to the generated page; empty if they are equal."""
        new = self.filled(page).splitlines()
        return list(difflib.unified_diff(page.splitlines(), new, "page", self._source, lineterm="", n=1))

    def main(self) -> int:
        """Print the differences, or write the page with ``--write``. Returns the exit code."""
        page = self.path.read_text(encoding="utf-8")
        if "--write" in sys.argv[1:]:
            self.path.write_text(self.filled(page), encoding="utf-8")
            return 0
        found = self.differences(page)
        name = self.path.relative_to(_ROOT)
        print("\n".join(found) or f"{name} agrees with the {self._source}")
        return 1 if found else 0
