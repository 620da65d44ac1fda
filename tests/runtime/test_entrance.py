"""The limits on accepted connections, on virtual time."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from linesync import limits, open_files
from linesync.runtime.conversation import Conversation
from linesync.runtime.identity import token
from linesync.runtime.listening.entrance import Entrance, places
from linesync.runtime.peer import Peer
from linesync.runtime.refusal import read_refusal
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe, Switchboard
from linesync.testing.recorder import Recorder
from linesync.transports.interface import LineInfo

from .peers import pause, play


class Owner(User[Peer]):
    """Listens on the endpoint ``unix:/s``, with an entrance that has two places.

    :ivar busy: the peers whose places must not be taken away.
    """

    def __init__(self, most: int = 2) -> None:
        self.log: list[str] = []
        self.busy: set[Peer] = set()
        self.entrance = Entrance("the hub", self.report, lambda peer: peer not in self.busy, self.end, most)
        self.board = Switchboard()

    def report(self, sentence: str, *, peer: str = "", burst: int = 0) -> None:
        assert peer == "the hub" and burst == 1
        self.log.append(sentence)

    def end(self, peer: Peer, reason: str) -> None:
        self.log.append(reason)
        self.entrance.leave(peer)
        peer.dismiss(reason)

    def accept(self) -> Any:
        peer = Peer(self, "l", token())
        self.entrance.enter(peer)
        return peer.receiver()

    def session_up(self, peer: Conversation, hello: object) -> None:
        assert isinstance(peer, Peer)
        self.entrance.greeted(peer)

    def session_down(self, peer: Conversation, reason: str, restarted: bool) -> None:
        assert isinstance(peer, Peer)
        self.entrance.session_over(peer)

    async def listening(self) -> Owner:
        await self.board.listen("unix:/s", self.accept, door=self.entrance)
        return self

    async def script(self) -> Peer:
        """Connect a script, and let time pass until it has a session or was refused."""
        peer = Peer(User(), "c", token())
        await self.board.connect("unix:/s", peer.receiver)
        await pause()
        return peer

    async def silent_script(self) -> Peer:
        """Connect a script that begins a session, then sends nothing more and keeps its connection open."""
        peer = await self.script()
        assert isinstance(peer.line, Pipe)
        peer.line.dead = True
        return peer


def test_a_line_on_which_no_session_begins_is_closed() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        caller: Any = Recorder("caller")
        await owner.board.connect("unix:/s", lambda: caller)
        await pause(limits.HANDSHAKE - 1)
        assert not caller.lost
        await pause(2.0)
        assert caller.lost and not owner.entrance.peers

    play(test)


def test_a_line_whose_session_has_ended_is_closed() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        script = await owner.script()
        script.end_session("the script has ended it")
        assert script.link is not None
        script.link._hello_timer.due = None  # so the script does not begin another session
        await pause(limits.HANDSHAKE + 1)
        assert script.line is None and not owner.entrance.peers

    play(test)


def test_a_new_connection_that_gets_no_place_gets_the_reason() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        accepted = [await owner.script(), await owner.script()]
        refused = await owner.script()
        assert str(refused.lost_why) == (
            "the hub has no place for another connection (2 of 2 are taken); end some scripts, or try again later"
        )
        assert owner.log == [str(refused.lost_why)] and all(peer.up for peer in accepted)
        owner.entrance.leave(next(iter(owner.entrance.peers)))
        assert (await owner.script()).up

    play(test)


def test_an_idle_script_that_answers_polls_keeps_its_place_for_hours() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        script = await owner.script()
        await pause(10 * limits.SCRIPT_SILENCE)
        assert script.up and not owner.log

    play(test, limit=20_000.0)


def test_the_connection_of_an_idle_and_silent_script_is_closed_after_ten_minutes() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        await owner.silent_script()
        await pause(limits.SCRIPT_SILENCE - 1)
        assert owner.entrance.peers
        await pause(limits.SCRIPT_SILENCE / 10 + 2)
        assert not owner.entrance.peers and owner.log == ["it was silent for 600 s"]

    play(test)


def test_a_silent_script_that_waits_or_holds_something_keeps_its_place() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        await owner.silent_script()
        owner.busy |= owner.entrance.peers
        await pause(2 * limits.SCRIPT_SILENCE)
        await owner.script()
        assert (await owner.script()).lost_why is not None and len(owner.entrance.peers) == 2

    play(test)


def test_a_new_connection_gets_the_place_of_the_script_that_was_silent_longest() -> None:
    async def test() -> None:
        owner = await Owner().listening()
        first = await owner.silent_script()
        await pause(5.0)
        second = await owner.silent_script()
        await pause(limits.SCRIPT_RECLAIM - 2)
        assert (await owner.script()).up, "the new connection must get the place of the first script"
        assert first.line is None and second.line is not None
        assert not (await owner.script()).up, "the second script was not silent for long enough"
        await pause(5.0)
        assert (await owner.script()).up
        assert owner.log[0].startswith("it was silent for 3") and owner.log[0].endswith("its place is needed")

    play(test)


def test_a_lack_of_file_descriptors_is_reported_with_their_limit() -> None:
    async def test() -> None:
        owner = Owner()
        sentence = read_refusal(owner.entrance.exhausted(OSError(errno.EMFILE, os.strerror(errno.EMFILE))))
        assert (
            sentence
            == owner.log[0]
            == (
                "the hub cannot accept another connection: too many open files; end some scripts, or start it with a higher"
                f" limit than {open_files.most()} (ulimit -n)"
            )
        )
        memory = read_refusal(owner.entrance.exhausted(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))))
        assert memory == "the hub cannot accept another connection: cannot allocate memory; end some scripts"

    play(test)


@pytest.mark.parametrize(("files", "most"), [(16, 1), (64, 32), (1024, 896), (1 << 20, limits.SESSIONS)])
def test_there_are_fewer_places_than_file_descriptors(monkeypatch: pytest.MonkeyPatch, files: int, most: int) -> None:
    monkeypatch.setattr(open_files, "most", lambda: files)
    assert places() == most


@pytest.mark.parametrize("text", [b"", b"SSH-2.0-OpenSSH\n", b"linesync refuses", b"\xff\n\n"])
def test_other_text_is_not_a_refusal(text: bytes) -> None:
    assert read_refusal(text) == ""


@pytest.mark.parametrize(
    ("kind", "peer", "uid", "others", "who"),
    [
        ("unix", "pid 7, uid 5", 5, 4, "pid 7, uid 5"),
        ("unix", "pid {}, uid 5", 5, 6, "uid 5"),
        ("tcp", "10.0.0.7:{}", None, 6, "10.0.0.7"),
    ],
)
def test_one_process_user_or_address_cannot_take_all_places(
    kind: str, peer: str, uid: int | None, others: int, who: str
) -> None:
    async def test() -> None:
        owner = Owner(most=8)

        def enter(peer: str, uid: int | None) -> str:
            entered = Peer(owner, "l", token())
            entered.info = LineInfo(endpoint="unix:/s", kind=kind, peer=peer, uid=uid)
            owner.entrance.enter(entered)
            return owner.entrance.crowded(entered, lambda: owner.entrance.peers, owner.entrance.places)

        assert not any(enter(peer.format(n), uid) for n in range(others))
        assert f"no place for another connection of {who} ({others} of its {others} places" in enter(
            peer.format(99), uid
        )
        assert not enter("pid 1, uid 6" if kind == "unix" else "10.0.0.8:5", 6 if kind == "unix" else None)

    play(test)
