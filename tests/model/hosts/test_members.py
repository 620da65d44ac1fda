"""Folded lists of members: unfolding returns the same names, and no text needs much time or memory."""

from __future__ import annotations

import random
import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linesync.errors import UsageError
from linesync.model.hosts.members import MEMBERS_MAX, fold, unfold
from linesync.model.participants import check_member
from linesync.model.sync.barriers.terms import Terms

from ..helpers import profile

_NUMBER = st.integers(0, 120).map(str) | st.sampled_from(["0", "00", "01", "08", "09", "099", "100", "9" * 12])
_WORD = st.lists(st.sampled_from(["a", "sut", "-", ".", "x"]) | _NUMBER, min_size=1, max_size=6).map("".join)
_MEMBER = _WORD | st.builds("{}#{}".format, _WORD, _WORD)


@profile()
@given(st.lists(_MEMBER, max_size=40), st.randoms(use_true_random=False))
@example(["a1", "a01", "a001", "a2", "a02", "a10", "a9", "a09"], random.Random(0))
@example(["1", "2", "3#1", "3#2"], random.Random(0))
def test_folding_and_unfolding_give_the_same_names(names: list[str], draw: random.Random) -> None:
    text = fold(names)
    if names:
        assert sorted(unfold(text)) == sorted(set(names))
    shuffled = names + names[:3]
    draw.shuffle(shuffled)
    assert fold(shuffled) == text


@profile()
@given(st.text(st.sampled_from("ab19[]-,#.0 \n"), max_size=40) | st.text(max_size=40))
def test_any_text_is_a_list_of_members_or_a_usage_error(text: str) -> None:
    try:
        names = unfold(text)
    except UsageError as caught:
        message = str(caught)
    else:
        message = ""
    assert message.isprintable()
    if message:
        return
    assert len(set(names)) == len(names) <= MEMBERS_MAX
    for name in names:
        check_member(name)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a", ["a"]),
        ("b,a,b", ["b", "a"]),
        ("sut[1-3]", ["sut1", "sut2", "sut3"]),
        ("sut[1,3-4]#t", ["sut1#t", "sut3#t", "sut4#t"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("a[1-2]#[1-2]", ["a1#1", "a1#2", "a2#1", "a2#2"]),
        ("[1-2].x", ["1.x", "2.x"]),
        ("a[5]", ["a5"]),
    ],
)
def test_ranges_unfold_to_names(text: str, names: list[str]) -> None:
    assert unfold(text) == tuple(names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a,",
        "a[",
        "a]",
        "a[]",
        "a[1",
        "a[[1]]",
        "a[2-1]",
        "a[-1]",
        "a[1-]",
        "a[x]",
        "a b",
        "a#",
        "#a",
        "a[1-3]#",
        "a[1,]",
        "a[1-2-3]",
        "a[0-10000]",
        "a[1-9999999999]",
        "a[\u0661-\u0662]",
        "a[1-99]b[1-99]c[1-9]",
        "x" * 65,
    ],
)
def test_an_invalid_list_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        unfold(text)


def test_a_list_has_at_most_ten_thousand_members() -> None:
    assert len(unfold("a[1-5000],b[1-5000]")) == MEMBERS_MAX
    with pytest.raises(UsageError, match="at most 10000 names"):
        unfold("a[1-5000],b[1-5000],c")


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["1-9999"] * 30_000) + "]",
        ",".join(["a[1-9999]"] * 25_000),
        "[1]" * 100_000,
        "a[1-10]" * 35_000,
        "x[1-9999]" + "[1]" * 100_000,
        "[" * 300_000,
        "," * 300_000,
        "a" * 300_000,
        "[" + "1," * 150_000 + "1]",
        "a1" * 150_000,
    ],
    ids=["ranges", "repeats", "joined", "products", "long names", "open", "commas", "letters", "numbers", "digits"],
)
def test_hostile_text_takes_little_time_and_memory(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(UsageError):
        unfold(text)
    assert time.process_time() - begun < 1.0
    tracemalloc.start()
    try:
        with pytest.raises(UsageError):
            unfold(text)
        assert tracemalloc.get_traced_memory()[1] < 27e6
    finally:
        tracemalloc.stop()


def test_hostile_names_are_folded_quickly() -> None:
    names = unfold("".join(f"{letter}1" for letter in "abcdefghijklmnopqrstuvwxyz") + ".[1000-9999]")
    begun = time.process_time()
    assert fold(names).endswith("[1000-9999]")
    odd = [f"{n * 7919}{'x1' * 20}{n}" for n in range(MEMBERS_MAX)]
    assert sorted(unfold(fold(odd))) == sorted(odd)
    assert time.process_time() - begun < 5.0


def test_terms_show_a_thousand_members_as_a_range_and_cut_a_long_list() -> None:
    thousand = frozenset(unfold("sut[1-8]#[1-125]"))
    assert str(Terms(count=1000, members=thousand)) == "for sut[1-8]#[1-125]"
    odd = frozenset(f"h{n * 7919}" for n in range(MEMBERS_MAX))
    text = str(Terms(count=len(odd), members=odd))
    assert len(text) < 400 and text.endswith("... (10000 members)")
