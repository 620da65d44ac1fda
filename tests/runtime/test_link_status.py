"""The row of ``links`` for a line during the life of a session: state, trouble and counters."""

from __future__ import annotations

from linesync.errors import LinesyncFailed
from linesync.runtime.conversation import User
from linesync.runtime.identity import token
from linesync.runtime.link_status import link_row
from linesync.runtime.peer import Peer
from linesync.testing.memory_lines import Pipe, SerialWire

from .peers import Pair, pause, play


class Wired:
    """A caller and a listener on a serial line."""

    def __init__(self) -> None:
        self.wire = SerialWire("wire")
        self.listener_boot = token()
        self.caller, self.listener = Peer(User(), "c", token()), Peer(User(), "l", self.listener_boot)
        self.wire.open("a", "/dev/a", self.caller.receiver)

    def answer(self) -> None:
        self.wire.open("b", "/dev/b", self.listener.receiver)


def test_a_line_that_was_never_open_is_down_and_has_no_counters() -> None:
    async def test() -> None:
        row = link_row(Peer(User(), "c", token()), "/dev/a", "sut")
        assert row == {
            "line": "/dev/a",
            "end": "sut",
            "kind": "",
            "baud": None,
            "state": "down",
            "trouble": "",
        }

    play(test)


def test_a_line_without_a_session_waits_and_names_the_fault() -> None:
    async def test() -> None:
        wired = Wired()
        await pause(10.0)
        row = link_row(wired.caller, "/dev/a", "sut")
        assert (row["state"], row["kind"], row["baud"]) == ("waiting", "serial", 115200)
        assert "/dev/a" in str(row["trouble"])
        assert "peer_boot" not in row and int(str(row["bytes_out"])) > 0

    play(test)


def test_a_line_with_a_session_is_up_and_shows_its_counters() -> None:
    async def test() -> None:
        wired = Wired()
        wired.answer()
        await pause(2.0)
        wired.caller.open("test")
        await pause(1.0)
        row = link_row(wired.caller, "/dev/a", "sut")
        assert (row["state"], row["trouble"], row["channels"]) == ("up", "", 1)
        assert row["peer_boot"] == wired.listener_boot
        assert 0 < float(str(row["round_trip_ms"])) < 1000 and row["repeated"] == 0

    play(test)


def test_a_line_is_quiet_while_its_peer_is_silent() -> None:
    async def test() -> None:
        wired = Wired()
        wired.answer()
        await pause(2.0)
        wired.wire.pull()
        wired.caller.open("test")
        await pause(30.0)
        assert link_row(wired.caller, "/dev/a", "sut")["state"] == "quiet"
        wired.wire.plug()
        await pause(10.0)
        row = link_row(wired.caller, "/dev/a", "sut")
        assert row["state"] == "up" and int(str(row["repeated"])) > 0, "the lost frames were sent again"

    play(test)


def test_a_lost_line_is_down_and_shows_the_reason() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        end = pair.caller._end
        assert end is not None
        pair.caller.detach(end, LinesyncFailed("the adapter was unplugged"))
        row = link_row(pair.caller, "unix:/pipe", "hub")
        assert (row["state"], row["trouble"], row["end"]) == ("down", "the adapter was unplugged", "hub")

    play(test)


def test_a_line_that_the_other_end_closed_is_down_without_trouble() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        assert isinstance(pair.listener.line, Pipe)
        pair.listener.line.die()
        await pause()
        row = link_row(pair.caller, "unix:/pipe", "hub")
        assert (row["state"], row["trouble"], row["kind"]) == ("down", "", "unix")

    play(test)
