"""The tables of a state file, and the migrations from each version of the tables to the next version.

The tables of version 1 must never change, because the first version of linesync with a state file has written them. A new
file is built by version 1 and all migrations in their order. It therefore does not differ from an old file that was migrated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

__all__ = ["APPLICATION", "MIGRATIONS", "build", "migrate", "newest_version"]

APPLICATION = 0x4C53594E  # "LSYN", the application id in the header of the file
_FIRST = (
    "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE rows (kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key))"
    " WITHOUT ROWID",
    # This table has a rowid, because pieces are long, and long rows make a table without a rowid slow.
    "CREATE TABLE blobs (number INTEGER NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL,"
    " PRIMARY KEY (number, offset))",
)
MIGRATIONS: list[Callable[[sqlite3.Connection], object]] = []
"""The migrations from version 1 to 2, from 2 to 3, and so on. Each runs in a transaction."""


def newest_version() -> int:
    """The version of the tables that this program writes."""
    return 1 + len(MIGRATIONS)


def build(connection: sqlite3.Connection, version: int) -> None:
    """Create the tables of a version in an empty file. The caller has begun a transaction."""
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    for statement in _FIRST:
        connection.execute(statement)
    _migrate(connection, 1, version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Change the tables of a version into the tables of the newest version. The caller has begun a transaction."""
    _migrate(connection, version, newest_version())


def _migrate(connection: sqlite3.Connection, version: int, until: int) -> None:
    for change in MIGRATIONS[version - 1 : until - 1]:
        change(connection)
    connection.execute(f"PRAGMA user_version = {until}")
