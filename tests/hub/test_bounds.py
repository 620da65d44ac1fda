"""Limits of one session at a hub: it registers one name, names only its own arrivals, and causes few log lines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest

from linesync import limits, protocol
from linesync.client import aio
from linesync.client.aio import Client
from linesync.errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from linesync.hub.waiting import _REPEATS
from linesync.jobs.serve import JOBS
from linesync.runtime.channels.streams import Stream
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.testing.recorder import Recorder
from linesync.wire.framing.frames import HELLO, Hello, encode
from tests.system.world import World


@pytest.fixture
def world() -> Iterator[World]:
    """A hub with the hosts h1 and h2 on serial lines."""
    with World(seed=1) as world:
        world.agent("h1")
        world.agent("h2")
        world.deliver()
        world.take_events()
        yield world


class RawSession:
    """A session on which a test sends any text as a request or a note."""

    def __init__(self, world: World, endpoint: str = "unix:/hub") -> None:
        self._world = world
        self.peer: Peer = world.run(self._open(endpoint))

    async def _open(self, endpoint: str) -> Peer:
        peer = Peer(User(), "c", "RawRawRa")
        await self._world._board.connect(endpoint, peer.receiver)
        await peer.ready()
        return peer

    def ask(self, text: str) -> str:
        """Send a request. Returns its reply, or raises its error."""

        async def work() -> str:
            _, pending = self.peer.ask(text)
            return await self.peer.reply_to(pending)

        reply: str = self._world.run(work())
        protocol.read_reply(reply)
        return reply

    def send_note(self, text: str) -> None:
        """Send a note, and wait until it was handled."""
        self.peer.note(text)
        self._world.pass_time(1.0)

    def close(self) -> None:
        self._world.run(self.peer.aclose("done"))


def hosts(world: World) -> list[str]:
    return [row["name"] for row in world.status()["hosts"]]


def reports(world: World, text: str) -> list[str]:
    """The lines of the hub's log that contain this text."""
    return [
        sentence
        for _, sentence in world._log
        if isinstance(sentence, str) and sentence.startswith("hub: ") and text in sentence
    ]


# -- register -----------------------------------------------------------------------------------------------------------


def test_a_session_registers_one_name_and_only_once(world: World) -> None:
    raw = RawSession(world)
    raw.ask("register p1 BootBoot")
    for name in ("p2", "p1"):
        with pytest.raises(NotAllowed, match=f"has registered the host p1 already; it cannot register {name} too"):
            raw.ask(f"register {name} BootBoot")
    assert hosts(world) == ["h1", "h2", "p1"]
    assert "the agent of p1, line unix:/hub#" in reports(world, "refused 'register' from")[0]
    raw.close()


def test_a_session_that_has_made_requests_cannot_become_a_host(world: World) -> None:
    raw = RawSession(world)
    raw.ask("sem units 1")
    with pytest.raises(NotAllowed, match="has made requests as a script, so it cannot register the host p1"):
        raw.ask("register p1 BootBoot")
    assert hosts(world) == ["h1", "h2"]
    raw.close()


def test_an_agent_whose_name_is_refused_may_ask_again(world: World) -> None:
    raw = RawSession(world)
    with pytest.raises(NotAllowed, match="the name 'h2' is taken"):
        raw.ask("register h2 BootBoot")
    assert len(reports(world, "refused 'register' from script")) == 1, "the log names the script"
    world.kill_agent("h2")
    world.pass_time(30.0)
    raw.ask("register h2 BootBoot")
    raw.close()


def test_a_script_of_another_host_cannot_register_a_dead_host(world: World) -> None:
    world.kill_agent("h2")
    world.pass_time(30.0)
    world.take_events()
    raw = RawSession(world, world.hosts["h1"].socket)
    for name in ("newname", "h2"):
        with pytest.raises(NotAllowed, match="'register' is not allowed here"):
            raw.ask(f"register {name} ZZZZZZZZ")
    raw.send_note("register h2 ZZZZZZZZ")
    assert hosts(world) == ["h1", "h2"] and not world.take_events()
    world.agent("h2")
    world.deliver()
    assert world.take_events() == [("up", "h2", "")]
    raw.close()


def test_the_hub_refuses_requests_that_an_agent_must_not_relay(world: World) -> None:
    agent = world.hosts["h1"].agent
    assert agent is not None
    for text in ("register h3 ZZZZZZZZ", "gone 1"):
        replies: list[Any] = []
        agent._uplink.ask(text, replies.append, suffix="7")
        world.settle(lambda replies=replies: bool(replies))  # type: ignore[misc]
        assert isinstance(protocol.read_error(replies[0]), NotAllowed | UsageError | LinesyncFailed), text
    assert hosts(world) == ["h1", "h2"]


# -- arrivals of other clients ---------------------------------------------------------------------------------------------


def start_waiting(world: World, client: Client) -> Any:
    """Let a client wait for units of a semaphore."""
    task = world.start(client.semaphore("units", -1))
    world.pass_time(1.0)
    assert not task.done()
    return task


@pytest.mark.parametrize("side", ["hub", "h1"])
@pytest.mark.parametrize("text", ["withdraw {0}", "confirm {0}", "commit {0}", "gone {1}"])
@pytest.mark.parametrize("note", [True, False])
def test_no_message_of_a_script_reaches_another_client(world: World, side: str, text: str, note: bool) -> None:
    victim = start_waiting(world, world.client(side))
    ((key, ((session, number),)),) = world.hub._requests._waiting._requests.items()
    raw = RawSession(world, "unix:/hub" if side == "hub" else world.hosts["h1"].socket)
    for request, script in ((number, number.partition(".")[2] or session.id), ("x", f"{session.id}")):
        for sent in (text.format(request, script), text.format("x", script) + f" arrival={key[1]}"):
            if note:
                raw.send_note(sent)
            elif text.startswith("withdraw") and side == "hub":
                with suppress(LinesyncError):  # if it has an id, it names a request of this script
                    raw.ask(sent)
            else:
                with pytest.raises(LinesyncError):
                    raw.ask(sent)
    assert not victim.done()
    world.run(world.client(side).semaphore("units", 1))
    assert world.run(_result(victim)) == 0
    raw.close()


async def _result(task: Any) -> Any:
    return await task


@pytest.mark.parametrize("side", ["hub", "h1"])
def test_the_ids_of_the_hub_are_not_ids_of_arrivals(world: World, side: str) -> None:
    held = world.run(world.client(side).lock("flash"))
    raw = RawSession(world, "unix:/hub" if side == "hub" else world.hosts["h1"].socket)
    with pytest.raises(UsageError, match="invalid arrival id '3/1': ids of digits and a slash belong to the hub"):
        raw.ask("giveback 3/1")
    with pytest.raises(UsageError):
        raw.ask("barrier go 2 arrival=3/1")
    assert held.value == 1
    raw.close()


def test_a_request_that_is_sent_as_a_note_is_ignored(world: World) -> None:
    raw = RawSession(world)
    raw.ask("sem units 1")
    raw.send_note("sem units 5")
    assert raw.ask("sem units 0") == "ok 1"
    with pytest.raises(LinesyncError):
        raw.ask("concurrent")
    raw.close()


@pytest.mark.parametrize("side", ["hub", "h1"])
def test_requests_that_repeat_one_arrival_without_end_are_refused(world: World, side: str) -> None:
    raw = RawSession(world, "unix:/hub" if side == "hub" else world.hosts["h1"].socket)
    replies: list[Any] = []
    for _ in range(_REPEATS + 5):
        raw.peer.ask("barrier go 2 arrival=mine", replies.append)
    world.settle(lambda: len(replies) == 5)
    assert all(
        f"{_REPEATS} requests with the arrival id mine wait" in str(protocol.read_error(line)) for line in replies
    )
    assert raw.ask("barrier go 2 arrival=other").startswith("ok")
    world.settle(lambda: len(replies) == _REPEATS + 5)
    assert all(reply.startswith("ok") for reply in replies[5:])
    raw.close()


def test_an_invalid_request_is_not_kept(world: World) -> None:
    raw = RawSession(world)
    with pytest.raises(UsageError):
        raw.ask("barrier go 0 arrival=mine")
    assert not world.hub._requests._waiting
    raw.close()


@pytest.mark.parametrize(
    ("number", "text", "script"),
    [
        ("5.7", "hosts", "7"),
        ("5", "hosts", ""),
        ("-", "withdraw 5.7", "7"),
        ("-", "withdraw -.7 arrival=x", "7"),
        ("-", "confirm 5.7", "7"),
        ("-", "gone 7", "7"),
        ("-", "ownergone 1 2", ""),
        ("-", "nonsense", ""),
    ],
)
def test_a_note_waits_in_the_queue_of_its_script(world: World, number: str, text: str, script: str) -> None:
    assert world.hub.sender(number, text) == script


def test_a_script_with_long_replies_does_not_delay_others_of_its_host(world: World) -> None:
    first, second = (RawSession(world, world.hosts["h1"].socket) for _ in range(2))
    text = random.Random(1).randbytes(10_000).hex()
    world.run(world.client().send("long", text))
    many: list[Any] = []
    for _ in range(100):
        first.peer.ask("receive long 1 most=20", many.append)
    world.pass_time(10.0)
    replies: list[Any] = []
    second.peer.ask("hosts", replies.append)
    world.settle(lambda: bool(replies))
    assert len(many) < 20
    first.close()
    second.close()


def test_an_agent_that_does_not_answer_is_not_asked_again(world: World) -> None:
    agent = world.hosts["h1"].agent
    assert agent is not None
    asked: list[str] = []
    with patch.object(type(agent), "activity", lambda self: asked.append("")):
        for _ in range(5):
            world.hub._requests._questions.ask("h1")
            world.pass_time(5.0)
    assert len(asked) == 1 and len(world.hub._sessions.host("h1").peer._pending) == 1  # type: ignore[union-attr]


# -- jobs ---------------------------------------------------------------------------------------------------------------


async def _hang(stream: Stream, *_: Any) -> None:
    """A command that runs until its client leaves."""
    while True:
        await stream.receive()


@pytest.mark.parametrize("side", ["hub", "h1"])
@pytest.mark.parametrize("host", ["hub", "h1", "h2"])
def test_the_jobs_of_one_script_on_one_host_are_bounded(world: World, side: str, host: str) -> None:
    first, second = (RawSession(world, "unix:/hub" if side == "hub" else world.hosts["h1"].socket) for _ in range(2))
    with patch("linesync.jobs.commands.command.serve_run", _hang):
        running = [first.peer.open(f"run {host} true") for _ in range(JOBS)]
        world.pass_time(2.0)
        error = protocol.read_error(world.run(first.peer.open(f"run {host} true").receive()).data.decode())
        assert error is not None and f"{host} already runs {JOBS} commands and file transfers for this script" in str(
            error
        )
        assert not any(stream.broken or stream.receive_nowait() for stream in running)
        allowed = [second.peer.open(f"run {host} true"), first.peer.open(f"run {'h2' if host != 'h2' else 'h1'} true")]
        running.pop().reset("enough")
        world.pass_time(2.0)
        allowed.append(first.peer.open(f"run {host} true"))
        world.pass_time(2.0)
        assert not any(stream.broken or stream.receive_nowait() for stream in (*running, *allowed))
        first.close()
        second.close()
        world.pass_time(2.0)
    assert not world.hub.services.jobs._running


# -- places -------------------------------------------------------------------------------------------------------------


def test_the_last_places_are_for_agents(world: World) -> None:
    world.hub._entrance.places = 16
    scripts = [RawSession(world) for _ in range(14)]
    late, agent = RawSession(world), RawSession(world)
    with pytest.raises(LinesyncFailed, match=r"no place for another script \(14 of 14 are taken, and 2 are reserved"):
        late.ask("hosts")
    stream = late.peer.open("run hub true")
    error = protocol.read_error(world.run(stream.receive()).data.decode())
    assert error is not None and "no place for another script" in error.message
    agent.ask("register p BootBoot")
    assert "p" in hosts(world)
    with pytest.raises(LinesyncFailed, match="no linesync|no place for another connection"):
        world.client()
    world.pass_time(limits.HANDSHAKE + 1)
    assert late.peer.line is None and agent.peer.up, "only the script was closed"
    agent.ask("hosts")
    assert len(reports(world, "no place for another script")) == 1
    for raw in (*scripts, agent):
        raw.close()


def test_one_users_scripts_have_a_share_of_the_places_that_agents_do_not_use(world: World) -> None:
    world.hub._entrance.places = 16
    with patch(
        "linesync.runtime.listening.entrance._senders", lambda peer: [("uid 5", 0.5)] if peer in same_user else []
    ):
        same_user: set[Any] = set()
        enter = world.hub._entrance.enter
        world.hub._entrance.enter = lambda peer: (same_user.add(peer), enter(peer))[1]  # type: ignore[method-assign]
        agents = [RawSession(world) for _ in range(5)]
        for n, agent in enumerate(agents):
            agent.ask(f"register p{n} BootBoo{n}")
        scripts = [RawSession(world) for _ in range(7)]
        scripts[-1].ask("hosts")
        late = RawSession(world)
        with pytest.raises(LinesyncFailed, match=r"no place for another connection of uid 5 \(7 of its 7 places"):
            late.ask("hosts")
        same_user.clear()
        other = RawSession(world)
        other.ask("hosts")
    for raw in (*agents, *scripts, late, other):
        raw.close()


def test_lost_agents_without_a_line_make_room(world: World) -> None:
    world.hub._entrance.places = 8
    for n in range(8):
        raw = RawSession(world)
        raw.ask(f"register p{n} BootBoo{n}")
        assert raw.peer.line is not None
        raw.peer.line.abort()
    world.pass_time(60.0)
    assert world.run(world.client().hosts())


def test_a_restarted_agent_takes_the_place_of_its_lost_session(world: World) -> None:
    for n in range(5):
        raw = RawSession(world)
        raw.ask(f"register p1 BootBoo{n}")
        assert raw.peer.line is not None
        raw.peer.line.abort()
        world.pass_time(0.1)
    raw = RawSession(world)
    raw.ask("register p1 BootBoot")
    world.pass_time(0.1)
    assert len(world.hub._entrance.peers) == 1 and len(world.hub._sessions.all()) == 3, "with h1 and h2"
    assert hosts(world) == ["h1", "h2", "p1"] and raw.peer.up
    raw.close()


def test_silent_scripts_do_not_keep_their_places(world: World) -> None:
    world.hub._entrance.places = 16
    for _ in range(14):
        line: Any = world.client()._peer.line
        line.dead = True  # it keeps the connection and sends nothing
    world.pass_time(limits.SCRIPT_RECLAIM + 1)
    assert world.run(world.client().hosts())
    world.pass_time(2 * limits.SCRIPT_SILENCE)
    assert len(world.hub._entrance.peers) == 1, "only the script that answers is still connected"


# -- the log ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_hellos_that_are_refused_write_a_few_lines(world: World) -> None:
    world.pass_time(1.0)
    lines: list[str] = []
    with patch.object(limits, "LOG_BURST", 5), patch.object(world.hub._report, "_write", lines.append):
        for n in range(100):
            caller: Any = Recorder("caller")
            line = world.run(world._board.connect("unix:/hub", lambda caller=caller: caller))  # type: ignore[misc]
            for m in range(100):
                line.write(encode(HELLO, _hello(n, m), 0))
            world.pass_time(0.1)
            line.abort()
        world.pass_time(limits.LOG_PERIOD)
    assert 5 <= len(lines) <= 7 and sum("requires" in line for line in lines) >= 5
    assert any("9995 similar lines were omitted" in line for line in lines), lines


def _hello(n: int, m: int) -> bytes:
    return Hello(
        oldest=1,
        newest=1,
        role="c",
        nonce=f"N{n:03d}{m:03d}x",
        peer="",
        boot="BootBoot",
        frame=127,
        credit=1000,
        flags=chr(65 + (n + m) % 26),
    ).body()


def test_the_error_of_a_client_that_connects_to_a_full_hub_has_the_reason(world: World) -> None:
    world.hub._entrance.places = 0
    with pytest.raises(
        LinesyncFailed, match="cannot connect to unix:/hub: the hub has no place for another connection"
    ):
        world.run(aio.connect("unix:/hub"))
