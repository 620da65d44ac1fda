from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.compat.names import id_of, member_of
from linesync.model.participants import check_member

IDS = st.text(min_size=1, max_size=12) | st.from_regex(r"[_#:A-F0-9a-fx.%]{1,20}", fullmatch=True)


@pytest.mark.parametrize("name", ["sut", "10.0.0.7", "my_host", "client1#2", "a.b-c_d#E_F", "sut#_x"])
def test_the_name_of_a_member_does_not_change(name: str) -> None:
    assert member_of(name) == name
    assert id_of(name) == name


@pytest.mark.parametrize(
    ("identity", "member"),
    [
        ("::1", "_3A_3A1"),
        ("fe80::1%eth0#2", "fe80_3A_3A1_25eth0#2"),
        ("127.0.0.1#", "127.0.0.1_23"),
        ("a#b#c", "a#b_23c"),
        ("my_ADdress", "my_5FADdress"),
        ("prüfling", "pr_C3_BCfling"),
        ("two words", "two_20words"),
    ],
)
def test_other_characters_are_escaped_and_unescaped(identity: str, member: str) -> None:
    assert member_of(identity) == member
    assert id_of(member) == identity


@given(IDS)
def test_every_id_becomes_a_valid_member(identity: str) -> None:
    check_member(member_of(identity))


@given(IDS)
def test_a_member_is_converted_back_to_its_id(identity: str) -> None:
    if ".." not in member_of(identity):
        assert id_of(member_of(identity)) == identity


@given(IDS, IDS)
def test_different_ids_have_different_members(first: str, second: str) -> None:
    assert (member_of(first) == member_of(second)) == (first == second)


def test_the_end_of_a_long_id_is_replaced_by_its_digest() -> None:
    first, second = member_of("host" + "x" * 300 + "1"), member_of("host" + "x" * 300 + "2")
    assert first != second
    assert len(first) <= 64
    assert first.startswith("hostxxx")
