"""The row that ``links`` shows for a line before, during and after a session: state, trouble and counters."""

from __future__ import annotations

from linesync.errors import LinesyncFailed
from linesync.runtime.identity import token
from linesync.runtime.lines.link_state import LinkState
from linesync.runtime.lines.link_status import link_state
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.testing.memory_lines import Pipe, SerialWire

from ..peers import Pair, pause, play


class SerialPair:
    """A caller on a serial line, and a listener that :meth:`answer` connects to the other end."""

    def __init__(self) -> None:
        self.wire = SerialWire("wire")
        self.listener_boot = token()
        self.caller, self.listener = Peer(User(), "c", token()), Peer(User(), "l", self.listener_boot)
        self.wire.open("a", "/dev/a", self.caller.receiver)

    def answer(self) -> None:
        self.wire.open("b", "/dev/b", self.listener.receiver)


def test_a_line_that_was_never_open_is_down_and_has_no_counters() -> None:
    async def test() -> None:
        link = link_state(Peer(User(), "c", token()), "/dev/a", "sut", "")
        assert link.traffic is None and link.session is None
        assert link.as_json() == {
            "line": "/dev/a",
            "end": "sut",
            "kind": "",
            "baud": None,
            "state": "down",
            "trouble": "",
            "host": "",
        }

    play(test)


def test_a_line_without_a_session_waits_and_names_the_fault() -> None:
    async def test() -> None:
        wired = SerialPair()
        await pause(10.0)
        row = link_state(wired.caller, "/dev/a", "sut", "")
        assert (row.state, row.kind, row.baud) == ("waiting", "serial", 115200)
        assert "/dev/a" in row.trouble
        assert row.session is None and row.traffic is not None and row.traffic.bytes_out > 0
        assert LinkState.from_json(row.as_json()) == row

    play(test)


def test_a_line_with_a_session_is_up_and_shows_its_counters() -> None:
    async def test() -> None:
        wired = SerialPair()
        wired.answer()
        await pause(2.0)
        wired.caller.open("test")
        await pause(1.0)
        row = link_state(wired.caller, "/dev/a", "sut", "")
        assert (row.state, row.trouble) == ("up", "") and row.session is not None
        assert row.session.channels == 1 and row.session.peer_boot == wired.listener_boot
        assert row.session.round_trip_ms is not None and 0 < row.session.round_trip_ms < 1000
        assert row.session.repeated == 0
        assert LinkState.from_json(row.as_json()) == row

    play(test)


def test_a_line_is_quiet_while_its_peer_is_silent() -> None:
    async def test() -> None:
        wired = SerialPair()
        wired.answer()
        await pause(2.0)
        wired.wire.pull()
        wired.caller.open("test")
        await pause(30.0)
        assert link_state(wired.caller, "/dev/a", "sut", "").state == "quiet"
        wired.wire.plug()
        await pause(10.0)
        row = link_state(wired.caller, "/dev/a", "sut", "")
        assert row.session is not None
        assert row.state == "up" and row.session.repeated > 0, "the lost frames were sent again"

    play(test)


def test_a_lost_line_is_down_and_shows_the_reason() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        end = pair.caller._end
        assert end is not None
        pair.caller.detach(end, LinesyncFailed("the adapter was unplugged"))
        row = link_state(pair.caller, "unix:/pipe", "hub", "")
        assert (row.state, row.trouble, row.end) == ("down", "the adapter was unplugged", "hub")

    play(test)


def test_a_line_that_the_other_end_closed_is_down_without_trouble() -> None:
    async def test() -> None:
        pair = await Pair.joined()
        assert isinstance(pair.listener.line, Pipe)
        pair.listener.line.die()
        await pause()
        row = link_state(pair.caller, "unix:/pipe", "hub", "")
        assert (row.state, row.trouble, row.kind) == ("down", "", "unix")

    play(test)
