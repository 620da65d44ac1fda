"""Writes the tables of rules in docs/conform.md.

python -m tools.conform_rules            reports whether the tables differ from the code
python -m tools.conform_rules --write    writes the tables
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from linesync.testing.conform import RULES, WATCHED, Rule

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conform.md"
_TABLES: dict[str, list[Rule]] = {
    "caller": [rule for rule in RULES if rule.roles == "caller"],
    "listener": [rule for rule in RULES if rule.roles == "listener"],
    "both": [rule for rule in RULES if rule.roles == "both"],
    "watched": list(WATCHED),
}


_HEAD = """\
| rule | section | level | what the tester does, or the endpoint must do |
| --- | --- | --- | --- |
"""


def _table(rules: list[Rule]) -> str:
    return _HEAD + "\n".join(f"| `{rule.id}` | {rule.section} | {rule.level} | {rule.does} |" for rule in rules)


def page(text: str) -> str:
    """The text of the page with the tables of the code."""

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{_table(_TABLES[match[2]])}{match[3]}"

    return re.sub(r"(<!-- made: (\w+) -->\n).*?(\n?<!-- end -->)", made, text, flags=re.DOTALL)


def main() -> int:
    old = PAGE.read_text()
    new = page(old)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(new)
    elif new != old:
        print("the tables of docs/conform.md differ from the code")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
