from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.compat.values import dumps, loads

KEYS = st.text(max_size=5) | st.sampled_from(["!bytes", "!dict", "!"]) | st.integers() | st.booleans() | st.binary()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def same(first: Any, second: Any) -> bool:
    """Whether two values and all their parts have equal values and types. (In Python, 1, 1.0 and True are equal.)"""
    return repr(first) == repr(second)


@given(VALUES)
def test_a_value_is_read_back_unchanged(value: Any) -> None:
    assert same(loads(dumps(value)), value)


def test_a_value_of_json_is_written_as_plain_json() -> None:
    value = {"rate": 9600, "names": ["a", "ü"], "none": None}
    assert json.loads(dumps(value)) == value


def test_bytes_are_kept_inside_other_values() -> None:
    assert loads(dumps({"log": [b"\x00\xff", ("a", b"")]})) == {"log": [b"\x00\xff", ("a", b"")]}


def test_a_dictionary_that_looks_like_an_escape_is_read_back_unchanged() -> None:
    assert loads(dumps({"!bytes": "AAAA"})) == {"!bytes": "AAAA"}


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, lambda: None, [[object()]], {"a": test_bytes_are_kept_inside_other_values}]
)
def test_a_value_that_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        dumps(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(TypeError, match="contains itself"):
        dumps(ring)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{",
        b'{"!bytes": "A"}',
        b'{"!bytes": 1}',
        b'{"!tuple": 1}',
        b'{"!dict": [[1]]}',
        b'{"!dict": [[[], 1]]}',
        b'{"!new": 1}',
        b"[" * 100_000,
        b'"unpickle"]',
    ],
)
def test_invalid_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  some of the messages come from json
        loads(data)


@given(st.binary(max_size=40))
def test_reading_any_bytes_gives_a_value_or_a_value_error(data: bytes) -> None:
    try:
        loads(data)
    except ValueError:
        pass
