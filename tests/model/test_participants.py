"""The rules for names."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError
from linesync.model.participants import check_host, check_member, check_name


@pytest.mark.parametrize("name", ["x", "a b", "ü", "x" * 200, "ü" * 100, "\U0001f400", "-"])
def test_a_name_is_text_of_1_to_200_bytes(name: str) -> None:
    check_name("barrier", name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("\udcff", "invalid barrier name: it is not UTF-8"),
        ("a\udc80\n", "invalid barrier name: it is not UTF-8"),
        ("a\n", "a barrier name cannot contain control characters"),
        ("\u2028", "a barrier name cannot contain control characters"),
        ("", "invalid barrier name: expected 1 to 200 bytes"),
        ("x" * 201, "expected 1 to 200 bytes"),
        ("ü" * 101, "expected 1 to 200 bytes"),
    ],
)
def test_the_error_says_why_a_name_is_refused(name: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name("barrier", name)
    assert why in caught.value.message


@pytest.mark.parametrize("name", ["a\udcff", "\udcff#a", "a#\udcff"])
def test_host_names_and_tags_are_ascii(name: str) -> None:
    with pytest.raises(UsageError, match=r"\\xff': expected 1 to 64 letters"):
        check_member(name)
    with pytest.raises(UsageError):
        check_host(name)
