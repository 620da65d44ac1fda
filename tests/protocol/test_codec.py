"""Requests and replies as text: a written message is read back, and invalid text is refused with an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync import protocol
from linesync.errors import LinesyncError, LinesyncFailed, TimedOut, UsageError, error_for

OPERATIONS = [
    cls
    for cls in vars(protocol).values()
    if isinstance(cls, type) and issubclass(cls, protocol.Message) and cls.__slots__
]
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_BY_TYPE = {
    "str": _TEXT,
    "int": st.integers(-(10**12), 10**12),
    "bool": st.booleans(),
    "int | None": st.none() | st.integers(-(10**18), 10**18),
    "float | None": st.none() | st.floats(0, 1e9).map(lambda seconds: round(seconds, 6)),
    "tuple[str, ...]": st.lists(_TEXT, max_size=4).map(tuple),
}


@st.composite
def operations(draw: st.DrawFn) -> protocol.Message:
    cls = draw(st.sampled_from(OPERATIONS))
    values = {name: draw(_BY_TYPE[kind]) for name, (kind, _) in cls.FIELDS.items()}
    for name, value in values.items():
        if cls.FIELDS[name][1] == ():  # lists that are options hold names and K=V, joined by a control character
            values[name] = tuple(text.replace("\x1f", "") or "k=v" for text in value)
    return cls(**values)


@given(operations())
def test_a_written_message_is_read_back(message: protocol.Message) -> None:
    text = protocol.encode(message)
    assert "\n" not in text
    assert protocol.decode(text, type(message)) == message


@given(st.text(max_size=200))
def test_reading_any_text_raises_only_linesync_errors(text: str) -> None:
    for read in (lambda: protocol.decode(text, *OPERATIONS), lambda: protocol.read_reply(text)):
        try:
            read()
        except LinesyncError:
            pass
    error = protocol.read_error(text)
    assert error is None or isinstance(error, LinesyncError)


@given(st.sampled_from(["usage", "timeout", "denied", "lost", "unheard-of"]), _TEXT)
def test_errors_keep_their_class_sentence_and_details(code: str, words: str) -> None:
    error = error_for(code, words, {"who": ["a", "b"]})
    back = protocol.read_error(protocol.encode_error(error))
    assert back is not None and type(back) is type(error)
    assert (back.message, back.details) == (words, {"who": ["a", "b"]})
    with pytest.raises(type(error)):
        protocol.read_reply(protocol.encode_error(error))


def test_an_unknown_option_is_ignored_unless_its_key_begins_with_a_capital_letter() -> None:
    assert protocol.decode("sem x 1 colour=red", protocol.Semaphore) == protocol.Semaphore(name="x", delta=1)
    with pytest.raises(LinesyncFailed, match="needs Colour"):
        protocol.decode("sem x 1 Colour=red", protocol.Semaphore)


@pytest.mark.parametrize("text", ["", "sem", "sem x", "sem x many", "barrier x 2 timeout=soon"])
def test_a_malformed_operation_is_a_usage_error_or_unknown(text: str) -> None:
    with pytest.raises((UsageError, LinesyncFailed)):
        protocol.decode(text, protocol.Semaphore, protocol.Barrier)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sem x", "malformed sem message: the field delta is missing"),
        ("sem x many", "invalid delta 'many' in a sem message: it is not a whole number"),
        ("barrier x 2 timeout=soon", "invalid timeout 'soon' in a barrier message: it is not a number"),
        ("barrier x 2 timeout=nan", "it is not a number"),
        ("barrier x 2 timeout=1_0", "it is not a number"),
        ("barrier x 2 timeout=-1", "invalid timeout '-1' in a barrier message: it is out of range"),
        ("barrier x 2 timeout=inf", "it is out of range"),
        ("barrier x 2 timeout=1e12", "it is out of range"),
        ("barrier x 2 who=maybe", "invalid who 'maybe' in a barrier message: it is not 0 or 1"),
    ],
)
def test_the_error_names_the_invalid_field(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        protocol.decode(text, protocol.Semaphore, protocol.Barrier)
    assert why in caught.value.message


def test_an_unknown_operation_names_the_version() -> None:
    with pytest.raises(LinesyncFailed, match="protocol version"):
        protocol.decode("teleport x", protocol.Semaphore)


def test_a_good_reply_is_read_as_its_words() -> None:
    assert protocol.read_reply(protocol.encode_ok("a b", "", "c%d")) == ["a b", "", "c%d"]
    assert isinstance(protocol.read_error(protocol.encode_error(TimedOut("late"))), TimedOut)
