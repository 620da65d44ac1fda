"""Words: any text can be written and read back, and malformed words are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.protocol import escaping

_TEXT = st.one_of(st.text(), st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))


@given(_TEXT)
def test_any_text_can_be_read_back_from_its_word(text: str) -> None:
    word = escaping.quote(text)
    assert word and word.isascii() and word.isprintable() and " " not in word and "=" not in word
    assert escaping.unquote(word) == text


@given(st.lists(_TEXT), st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), _TEXT))
def test_a_message_is_read_back_in_order(positional: list[str], options: dict[str, str]) -> None:
    message = escaping.join(positional, options)
    if message:
        assert escaping.split(message) == (positional, options)


@pytest.mark.parametrize(
    ("text", "word"),
    [("", "%."), ("a b", "a%20b"), ("a=b", "a%3Db"), ("100%", "100%25"), ("é", "%C3%A9"), ("\udcff", "%FF")],
)
def test_words_are_written_as_specified(text: str, word: str) -> None:
    assert escaping.quote(text) == word


@pytest.mark.parametrize("word", ["", "a b", "a=b", "%", "%4", "%zz", "a%2", "é", "a\n"])
def test_a_malformed_word_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="word|escape|literal"):
        escaping.unquote(word)


@pytest.mark.parametrize("message", ["a  b", "a=1 b", "a=1 a=2", " a", "a "])
def test_a_malformed_message_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        escaping.split(message)


@given(st.text())
def test_reading_raises_only_value_errors(message: str) -> None:
    try:
        escaping.split(message)
    except ValueError:
        pass


@given(st.text())
def test_a_simple_message_can_be_split_at_its_spaces(text: str) -> None:
    if escaping.is_simple(text):
        assert escaping.split(text) == (text.split(" "), {})


@given(st.lists(st.text(alphabet="abc123-+.~", min_size=1), min_size=1))
def test_plain_words_are_a_simple_message(texts: list[str]) -> None:
    assert escaping.is_simple(escaping.join(texts))
