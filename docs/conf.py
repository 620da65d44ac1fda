"""How Sphinx builds the site (`make docs`) and the man pages from this folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docutils import nodes  # noqa: E402

import linesync  # noqa: E402
from linesync.cli.main import COMMANDS  # noqa: E402
from tools import command_pages  # noqa: E402

project = "linesync"
author = "the linesync contributors"
project_copyright = "MIT licence"
version = release = linesync.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4
smartquotes = False  # they would turn the hyphens of an option into a dash
highlight_language = "text"
suppress_warnings = [
    "misc.highlighting_failure",  # fragments of TOML, INI and console text are not whole documents
]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"linesync {release}"
html_copy_source = False
html_show_copyright = False

man_pages = [
    (f"reference/commands/{command_pages.man_name(name)}", command_pages.man_name(name), text, [author], 1)
    for name, text in [("", linesync.__doc__.splitlines()[0].partition(": ")[2].rstrip(".")), *COMMANDS.items()]
]


def _make_command_pages(app: Any) -> None:
    command_pages.write(Path(app.srcdir) / "reference" / "commands")


def _skip_member(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Omit the methods of the blocking client that are generated from the asyncio client."""
    original = getattr(member, "__wrapped__", member)
    return True if getattr(original, "__module__", "") != getattr(member, "__module__", "") else None


def _hide_constructor(
    app: Any, what: str, name: str, member: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str] | None:
    """Hide the constructors of clients and results: only linesync itself calls them. Programs construct their services."""
    ours = name.startswith("linesync.client.") and not name.startswith("linesync.client.phases.")
    return ("", "") if what == "class" and ours else None


def _plain_references(app: Any, doctree: nodes.document, docname: str) -> None:
    """Replace each link between pages by its text, because a man page has no links."""
    if app.builder.name == "man":
        for reference in list(doctree.findall(nodes.reference)):
            if reference.get("internal"):
                reference.replace_self(reference.children)


def setup(app: Any) -> None:
    app.connect("builder-inited", _make_command_pages)
    app.connect("autodoc-skip-member", _skip_member)
    app.connect("autodoc-process-signature", _hide_constructor)
    app.connect("doctree-resolved", _plain_references)
