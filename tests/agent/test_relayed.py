"""Requests that an agent relays: their ids on both sides, and the state that the agent keeps for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

from linesync import protocol
from linesync.agent.relayed import Relayed
from linesync.errors import LinesyncError, LinesyncFailed
from linesync.runtime.listening.reports import Reports


class FakePeer:
    """One end of a conversation. It records the sent messages, and the test makes the replies."""

    def __init__(self) -> None:
        self.up = True
        self.interrupted = ""
        self.line = self.info = None
        self.link = SimpleNamespace(quiet=False)
        self.asked: list[tuple[str, str, Callable[[str | LinesyncError], None]]] = []
        self.notes: list[str] = []
        self.answers: list[tuple[str, str]] = []

    def ask(self, text: str, done: Callable[[str | LinesyncError], None], *, suffix: str) -> tuple[str, None]:
        number = f"{len(self.asked) + 100}.{suffix}"
        self.asked.append((number, text, done))
        return number, None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def tell(self, text: str) -> None:
        if self.up:
            self.note(text)

    def answer(self, number: str, text: str) -> None:
        self.answers.append((number, text))


class FakeOwners:
    """Watches processes. A process with a pid below 100 does not run."""

    def __init__(self) -> None:
        self.watched: set[tuple[int, str]] = set()

    def watch(self, pid: int, begin: str) -> None:
        if pid < 100:
            raise LinesyncFailed("it does not run")
        self.watched.add((pid, begin))

    def watches(self, pid: int, begin: str) -> bool:
        return (pid, begin) in self.watched


def run_test(work: Callable[[Relayed, FakePeer, FakePeer], None]) -> None:
    async def main() -> None:
        uplink, script = FakePeer(), FakePeer()
        owners = FakeOwners()
        relayed = Relayed(uplink, lambda _, reply: reply, lambda _: None, lambda: owners, Reports(lambda _: None))  # type: ignore[arg-type,return-value]
        relayed.registered = True
        relayed.join(script)  # type: ignore[arg-type]
        work(relayed, uplink, script)

    asyncio.run(main())


def test_a_confirmation_is_relayed_once_with_the_number_that_the_hub_knows() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "7", "sem x -1")  # type: ignore[arg-type]
        uplink.asked[0][2]("ok 0")
        relayed.take(script, "-", "confirm 7")  # type: ignore[arg-type]
        relayed.take(script, "-", "confirm 7")  # type: ignore[arg-type]
        assert script.answers == [("7", "ok 0")]
        assert uplink.notes == ["confirm 100.1"]

    run_test(work)


def test_a_confirmation_is_not_relayed_into_another_session() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "1", "sem x -1")  # type: ignore[arg-type]
        uplink.asked[0][2]("ok 0")
        relayed.down()
        relayed.up()
        relayed.take(script, "-", "confirm 1")  # type: ignore[arg-type]
        assert uplink.notes == [], "in the new session, another request may have this number"

    run_test(work)


def test_the_state_for_the_requests_of_a_script_is_bounded() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "forever", "sem never -1")  # type: ignore[arg-type]
        for number in range(5000):
            relayed.take(script, str(number), "hosts")  # type: ignore[arg-type]
            uplink.asked[-1][2]("ok []")
        kept = relayed.script(script)  # type: ignore[arg-type]
        assert kept is not None
        assert list(kept.requests) == ["forever"] and len(kept.granted) <= 1000

    run_test(work)


def test_when_a_session_ends_sent_requests_are_answered_and_unsent_ones_wait() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "1", "sem x -1")  # type: ignore[arg-type]
        uplink.up = False
        relayed.down()
        uplink.asked[0][2](LinesyncFailed("the other side restarted; ask again"))
        relayed.take(script, "2", "sem x 1")  # type: ignore[arg-type]
        ((number, answer),) = script.answers
        assert number == "1" and isinstance(protocol.read_error(answer), LinesyncFailed)
        assert any("waiting for the hub" in protocol.decode(note, protocol.Note).text for note in script.notes)  # type: ignore[attr-defined]
        uplink.up = True
        relayed.up()
        assert [text for _, text, _ in uplink.asked] == ["sem x -1", "sem x 1"], "no request may be sent twice"

    run_test(work)


def test_the_agent_itself_answers_a_request_that_is_withdrawn_before_it_was_sent() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.registered = False
        relayed.take(script, "1", "sem x -1")  # type: ignore[arg-type]
        relayed.take(script, "-", "withdraw 1")  # type: ignore[arg-type]
        relayed.up()
        assert [number for number, _ in script.answers] == ["1"] and uplink.asked == []

    run_test(work)


def test_the_requests_of_a_script_that_leaves_are_withdrawn() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "1", "sem x -1")  # type: ignore[arg-type]
        relayed.leave(script)  # type: ignore[arg-type]
        uplink.asked[0][2]("ok 0")
        assert script.answers == [] and uplink.notes == ["gone 1"]

    run_test(work)


def test_a_request_for_a_namespace_is_relayed_if_the_agent_can_watch_its_owner_and_else_refused() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "1", "namespace @x pid=7 begin=5")  # type: ignore[arg-type]
        assert script.answers == [("1", "err failed it%20does%20not%20run")] and not uplink.asked
        relayed.take(script, "2", "namespace @x pid=107 begin=5")  # type: ignore[arg-type]
        assert uplink.asked[0][1] == "namespace @x pid=107 begin=5 watched=1"
        uplink.asked[0][2]("ok")
        assert uplink.notes == []
        relayed.owner_gone(107, "5")
        assert uplink.notes == ["ownergone 107 5"]

    run_test(work)


def test_an_owner_that_ended_before_the_request_was_sent_is_reported_after_its_reply() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.registered = uplink.up = False
        relayed.take(script, "1", "namespace @x pid=107 begin=5")  # type: ignore[arg-type]
        relayed._owners().watched.clear()  # type: ignore[attr-defined]
        relayed.owner_gone(107, "5")
        assert uplink.notes == []
        uplink.up = True
        relayed.up()
        uplink.asked[0][2]("ok")
        assert uplink.notes == ["ownergone 107 5"]

    run_test(work)


def test_the_end_of_a_script_that_may_own_a_namespace_is_reported() -> None:
    def work(relayed: Relayed, uplink: FakePeer, script: FakePeer) -> None:
        relayed.take(script, "1", "namespace @x")  # type: ignore[arg-type]
        uplink.asked[0][2]("ok")
        relayed.leave(script)  # type: ignore[arg-type]
        assert uplink.notes == ["gone 1"]

    run_test(work)
