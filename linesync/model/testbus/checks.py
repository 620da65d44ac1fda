"""The limits of a test bus, and the rules for its names and values.

Each function returns nothing, or raises :class:`UsageError` for an invalid value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import UsageError
from ..participants import check_name

__all__ = ["check_digest", "check_role", "check_tag", "check_variable", "size_of", "size_of_all", "variable_part"]

DEPTH_MAX = 16  # the maximum number of objects from the root to an object, including both
OBJECTS_MAX = 100_000  # the maximum number of objects on a hub
BELOW_MAX = 20_000  # the maximum number of objects below one test without a parent
VARIABLES_MAX = 1024  # the maximum number of variables of one object
VALUE_BYTES = 32 << 10  # the maximum size of the value of a variable, in bytes of UTF-8
ENVIRONMENT_BYTES = 256 << 10  # the maximum size of all names and values of the variables of one object
ENVIRONMENTS_BYTES = 64 << 20  # the same for all objects of a hub
FILES_MAX = 1024  # the maximum number of files of one object
FILE_BYTES = 4 << 30  # the maximum size of one file
FILES_BYTES = 32 << 30  # the maximum size of all files of a hub
ROLES_MAX = 256  # the maximum number of hosts of one test
RESERVED = "testbus_"
"""The prefix of the second name that a process sees for each variable."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ROLE = re.compile(r"[A-Za-z0-9_]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOT_IN_VARIABLE = re.compile(r"[^A-Za-z0-9_]")


def check_variable(name: str) -> None:
    """Refuse a name of a variable that is not a letter or an underscore and up to 127 letters, digits and underscores."""
    if not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"invalid variable name {name[:64]!a}: expected a letter or an underscore, and then letters, digits or"
            " underscores, 128 characters in total at most"
        )
    if name.startswith(RESERVED):
        raise UsageError(f"invalid variable name '{name}': the prefix {RESERVED} is reserved; use another name")


def check_role(role: str) -> None:
    """Refuse a role that is not 1 to 64 letters, digits and underscores. A role is part of names of variables."""
    if not _ROLE.fullmatch(role):
        raise UsageError(f"invalid role {role[:64]!a}: expected 1 to 64 letters, digits or underscores")


def check_tag(tag: str) -> None:
    """Refuse a tag of a file that is not a valid name, or that contains a character with a meaning in substitutions."""
    check_name("file tag", tag)
    if set(tag) & set("{}%"):
        raise UsageError(f"invalid file tag {tag[:64]!a}: a tag cannot contain braces or percent signs")


def check_digest(digest: str) -> None:
    """Refuse a digest of a file that is not the SHA-256 in hexadecimal digits."""
    if not _DIGEST.fullmatch(digest):
        raise UsageError(f"invalid digest of a file {digest[:64]!a}: expected 64 hexadecimal digits of its SHA-256")


def variable_part(text: str) -> str:
    """A text as a part of the name of a variable: each character that is not allowed there becomes an underscore."""
    return _NOT_IN_VARIABLE.sub("_", text)


def size_of(text: str) -> int:
    """The size of a text in bytes. A lone surrogate stands for one byte that is not UTF-8, and counts as three bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def size_of_all(variables: Mapping[str, str]) -> int:
    """The size of the names and values of variables, in bytes."""
    return sum(len(name) + size_of(value) for name, value in variables.items())
