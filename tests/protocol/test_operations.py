"""The table of operations: the effect of unanswered requests, and the allowed senders."""

from __future__ import annotations

import pytest

from linesync import protocol
from linesync.errors import LinesyncFailed, NotAllowed, TimedOut
from linesync.protocol import operations
from linesync.protocol.ids import Id

MAY_HAVE_EFFECT = {
    "barrier go 2": "the barrier may have been released",
    "sem s 2": "the units may have been given",
    "commit 7": "the grant may have been taken",
    "unlock l 3": "the lock may have been given back",
    "giveback x1": "the hold may have been given back",
    "event up": "the events may have been changed",
    "send ready k=v": "the message may have been sent",
    "reset": "the names may have been reset",
    "drain": "the hub may have stopped",
    "of-a-newer-client 1": "it may have taken effect",
}
"""Requests that may have taken effect if no reply comes."""
NO_EFFECT = (
    "sem s -1",
    "sem s 0",
    "sem s -1 Hold=1 arrival=x1",
    "lock l",
    "await up",
    "receive r 1",
    "gather r",
    "status",
)
"""Requests that cannot have changed anything: they only read or wait, or their grant is returned."""


@pytest.mark.parametrize("text", MAY_HAVE_EFFECT)
@pytest.mark.parametrize("deadline", [None, 5.0])
def test_the_error_of_an_unanswered_request_says_that_it_may_have_had_an_effect(
    text: str, deadline: float | None
) -> None:
    error = operations.unanswered(text, "the line was lost", deadline=deadline)
    assert type(error) is LinesyncFailed and error.exit_code == 125
    assert f" was not answered: the line was lost; {MAY_HAVE_EFFECT[text]}" in error.message
    assert f"'{text}'" not in error.message


@pytest.mark.parametrize("text", NO_EFFECT)
def test_an_unanswered_request_without_effect_times_out_at_its_deadline_and_fails_before(text: str) -> None:
    late = operations.unanswered(text, "silence", deadline=5.0)
    early = operations.unanswered(text, "silence")
    assert type(late) is TimedOut and late.exit_code == 124 and "timed out after 5 s" in late.message
    assert type(early) is LinesyncFailed and early.exit_code == 125
    assert all("nothing was changed" in error.message and "may have" not in error.message for error in (late, early))


@pytest.mark.parametrize("text", [*MAY_HAVE_EFFECT, *NO_EFFECT])
def test_a_request_that_was_never_sent_times_out_at_its_deadline(text: str) -> None:
    error = operations.never_sent(text, "there is no line", deadline=1.0)
    assert type(error) is TimedOut and " was not sent: there is no line" in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("barrier up 2 timeout=5", "the arrival at barrier 'up'"),
        ("sem s 0", "the request to read semaphore 's'"),
        ("sem s -2", "the request to take 2 of semaphore 's'"),
        ("sem s 1", "the request to give 1 of semaphore 's'"),
        ("await e timeout=2", "the request to wait for event 'e'"),
        ("event a b Clear=1", "the request to clear events 'a', 'b'"),
        ("receive r 1", "the wait for a message of topic 'r'"),
        ("hosts", "the request for the list of hosts"),
        ("of-a-newer-client 1", "the request"),
    ],
)
def test_an_error_names_the_operation_and_its_object_in_words(text: str, words: str) -> None:
    error = operations.unanswered(text, "silence")
    assert error.message.startswith(f"{words} was not answered: silence")


def test_only_grants_that_would_be_returned_are_committed() -> None:
    def is_returned(text: str) -> bool:
        return operations.grant_goes_back(operations.decode_request(text))

    assert all(map(is_returned, ("sem s -1", "sem s -1 Hold=1", "lock l")))
    assert not any(map(is_returned, ("sem s 1", "sem s 0", "barrier go 2", "send r", "nonsense")))


@pytest.mark.parametrize("message", [protocol.Register(name="a", boot="b"), protocol.ClientGone(client="1")])
def test_an_operation_of_an_agent_is_refused_from_a_script(message: protocol.Message) -> None:
    operations.check_sender(message, operations.AGENT)
    with pytest.raises(NotAllowed, match="it comes from the agent only"):
        operations.check_sender(message, operations.SCRIPT)


def test_only_messages_about_the_senders_own_session_need_no_permission() -> None:
    without = {row.message for row in operations.OPERATIONS if not row.permission and row.kind != operations.INSIDE}
    own = {
        "Register",
        "Continue",
        "GoingDown",
        "Confirm",
        "Withdraw",
        "Revoked",
        "Concurrent",
        "ClientGone",
        "OwnerGone",
        "Note",
        "Activity",
        "Lease",
        "Accept",  # only the client that listens knows the key
        "Wide",  # only the client of the connection knows the key
    }
    assert {cls.__name__ for cls in without} == own


@pytest.mark.parametrize(
    ("text", "id_"), [("7", Id("7")), ("7.2", Id("7", "2")), ("-", Id("-")), ("-.2", Id("-", "2"))]
)
def test_an_id_is_read_and_written(text: str, id_: Id) -> None:
    assert Id.read(text) == id_ and str(id_) == text
