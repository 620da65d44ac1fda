"""The records of copies are the same after writing and reading, and malformed ones are refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import limits
from linesync.errors import LinesyncFailed
from linesync.protocol import tree_records
from linesync.protocol.tree_records import FIELDS, Fields, RecordReader, record

LETTERS = "".join(FIELDS)
NUMBERS = st.integers(0, (1 << 70) - 1)


@st.composite
def records(draw: st.DrawFn) -> tuple[str, Fields]:
    letter = draw(st.sampled_from(LETTERS))
    return letter, [draw(NUMBERS if kind == "n" else st.binary(max_size=300)) for kind in FIELDS[letter]]


@given(st.lists(records()), st.lists(st.integers(1, 50)))
def test_records_are_read_however_the_data_is_split(sent: list[tuple[str, Fields]], cuts: list[int]) -> None:
    data = b"".join(record(letter, *fields) for letter, fields in sent)
    reader, found = RecordReader(LETTERS), []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)

    def joined(rows: list[tuple[str, Fields]]) -> list[tuple[str, Fields]]:
        """The records, with the data of neighbours joined, and without empty data."""
        out: list[tuple[str, Fields]] = []
        for letter, fields in rows:
            if letter == "D" and out and out[-1][0] == "D":
                out[-1] = "D", [out[-1][1][0] + fields[0]]  # type: ignore[operator]
            elif fields != [b""] or letter != "D":
                out.append((letter, fields))
        return out

    assert joined(found) == joined(sent)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    reader = RecordReader(LETTERS)
    with suppress(LinesyncFailed):
        for at in range(0, len(data), 7):
            reader.feed(data[at : at + 7])
    assert len(reader._rest) < limits.COPY_FIELD + 200


def test_records_of_the_other_direction_long_numbers_and_long_fields_are_refused() -> None:
    for data in (b"v\x01=", b"F" + b"\xff" * 10, b"U\x01" + tree_records.number(limits.COPY_FIELD + 1)):
        with pytest.raises(LinesyncFailed, match="malformed record"):
            RecordReader("EUF;").feed(data)


@given(st.integers(-(1 << 62), 1 << 62))
def test_a_number_that_may_be_negative_is_unchanged(value: int) -> None:
    assert tree_records.signed(tree_records.unsigned(value)) == value
    assert tree_records.read_numbers(tree_records.numbers(tree_records.unsigned(value))) == [
        tree_records.unsigned(value)
    ]
