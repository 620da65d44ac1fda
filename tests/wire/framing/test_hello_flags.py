"""The flags of a hello and the kinds of records are those of docs/protocol.md."""

from __future__ import annotations

import re
from pathlib import Path

from linesync.wire.channels import record_kinds
from linesync.wire.framing import hello_flags

_PAGE = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text()


def _first_cells(header: str) -> str:
    """Return the characters in the first column of the table with this header."""
    rows = _PAGE[_PAGE.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return "".join(re.findall(r"`(.)`", "".join(row.split("|")[1] for row in rows)))


def test_the_flags_are_those_of_the_protocol_document() -> None:
    flags = [getattr(hello_flags, name) for name in hello_flags.__all__]
    assert sorted(flags) == sorted(_first_cells("| flag | meaning |"))


def test_the_record_kinds_are_those_of_the_protocol_document() -> None:
    plain = (
        record_kinds.OPEN + record_kinds.OPEN_PIECE + record_kinds.DATA + record_kinds.MESSAGE
        + record_kinds.MESSAGE_PIECE + record_kinds.END + record_kinds.RESET + record_kinds.CREDIT
    )  # fmt: skip
    assert sorted(plain.decode()) == sorted(_first_cells("| kind | name | body | cost |"))
    assert record_kinds.COMPRESSED_TEXTS.lower() == (
        record_kinds.MESSAGE + record_kinds.MESSAGE_PIECE + record_kinds.OPEN + record_kinds.OPEN_PIECE
    )
