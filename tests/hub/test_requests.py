"""The hub answers every request, even after an internal error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linesync import protocol
from linesync.errors import LinesyncFailed
from linesync.hub import requests
from linesync.hub.access.checks import Checks
from linesync.hub.requests import Requests
from linesync.hub.sessions import HubSession, Sessions
from linesync.hub.state.memory import Memory
from linesync.hub.state.outbox import Outbox
from linesync.model.policy import Policy, Rule
from linesync.model.sync.services import SyncServices
from linesync.runtime.listening.reports import Reports


class FakePeer:
    """Collects the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str]] = []
        self.link = None
        self.info = None

    def answer(self, number: str, text: str) -> None:
        self.answers.append((number, text))


def handle(*requests: tuple[str, str], broken: bool = False) -> tuple[FakePeer, list[dict[str, Any]]]:
    """Let a hub handle requests of a script.

    :returns: the peer, which has collected the answers, and the calls of the loop's exception handler.
    """
    peer = FakePeer()
    logged: list[dict[str, Any]] = []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))

        def links() -> list[dict[str, object]]:
            if broken:
                raise ZeroDivisionError("an internal error")
            return []

        memory = Memory(SyncServices())
        sessions = Sessions(memory, keeping=False)
        report = Reports(lambda _: None)
        checks = Checks(report, Policy((Rule(allow=True),)), None)
        hub = Requests(sessions, 20.0, "boot", memory, Outbox(), links, lambda: 0, lambda event: None, report, checks)
        session: HubSession = sessions.begin(peer, "line")  # type: ignore[arg-type]
        for number, text in requests:
            hub.take(session, number, text)
        hub.stop()

    asyncio.run(work())
    return peer, logged


def test_an_internal_error_is_answered_and_logged() -> None:
    peer, logged = handle(("1", "links"), ("2", "sem x 0"), broken=True)
    assert [number for number, _ in peer.answers] == ["1", "2"]
    error = protocol.read_error(peer.answers[0][1])
    assert isinstance(error, LinesyncFailed) and "internal error of the hub" in error.message
    assert peer.answers[1][1] == "ok 0", "the next request is served"
    assert isinstance(logged[0]["exception"], ZeroDivisionError)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "sem", "barrier x many", "sem x 1 Hold=yes", "sem x 1 Keep=1", "run hub true"]
)
def test_an_invalid_request_gets_an_error(text: str) -> None:
    peer, logged = handle(("1", text))
    ((number, answer),) = peer.answers
    assert number == "1" and protocol.read_error(answer) is not None
    assert not logged


def test_a_reply_that_is_longer_than_a_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_REPLY_MAX", 50)
    peer, logged = handle(("1", "sem x 0"), ("2", "status"))
    assert peer.answers[0][1] == "ok 0" and logged == []
    error = protocol.read_error(peer.answers[1][1])
    assert isinstance(error, LinesyncFailed) and error.message.startswith("the reply to 'status' would have ")


def test_a_note_is_never_answered() -> None:
    peer, _ = handle(("-", "nonsense"), ("-", "confirm 1"), ("-", "withdraw 1"))
    assert peer.answers == []


def test_a_script_behind_an_agent_that_is_not_registered_is_refused() -> None:
    peer, _ = handle(("1.4", "sem x 0"))
    error = protocol.read_error(peer.answers[0][1])
    assert error is not None and error.code == "denied"


def test_a_withdrawn_wait_gets_its_reply_and_leaves_nothing() -> None:
    peer, _ = handle(("1", "sem x -1"), ("2", "sem x -1"), ("-", "withdraw 1"), ("3", "sem x 1"), ("4", "status"))
    assert sorted(number for number, _ in peer.answers) == ["1", "2", "3", "4"]
    assert dict(peer.answers)["2"] == "ok 0"


def test_an_unlocked_lock_goes_to_the_next_client_with_a_larger_token() -> None:
    peer, logged = handle(("1", "lock flash"), ("2", "lock flash"), ("3", "unlock flash 2"), ("4", "unlock flash 1"))
    answers = dict(peer.answers)
    error = protocol.read_error(answers["3"])
    assert answers["1"] == "ok 1" and answers["2"] == "ok 2" and answers["4"] == "ok"
    assert error is not None and error.code == "denied" and not logged


def test_the_reply_to_a_reset_has_the_numbers_of_removed_names_and_failed_waits() -> None:
    peer, logged = handle(("1", "barrier boot 2"), ("2", "sem x 3"), ("3", "lock flash"), ("4", "reset boot x boot"))
    answers = dict(peer.answers)
    error = protocol.read_error(answers["1"])
    assert answers["4"] == "ok 2 1" and error is not None and error.code == "aborted" and not logged


def test_all_parties_get_the_reason_of_an_abort() -> None:
    abort = protocol.encode(protocol.Barrier(name="boot", count=3, Abort="no disk"))
    peer, _ = handle(("1", "barrier boot 3"), ("2", abort))
    errors = {number: protocol.read_error(text) for number, text in peer.answers}
    assert {number: error.code for number, error in errors.items() if error} == {"1": "aborted", "2": "aborted"}
    assert str(errors["1"]) == "barrier 'boot' was aborted by hub: no disk"
