"""What docs/protocol.md, 8.3 and 8.5, says of requests, said to a real hub by a script that writes them out by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator

import pytest

from linesync.client import aio
from linesync.errors import LinesyncError
from linesync.protocol import escaping
from linesync.runtime.conversation import Conversation, User
from linesync.runtime.peer import Peer
from linesync.runtime.streams import MESSAGE, Stream
from tests.system.world import World


class Script(User):
    """A connection to the hub (or to a host's agent) that is spoken by hand."""

    def __init__(self, world: World, host: str = "hub") -> None:
        self.world = world
        self.notes: list[str] = []
        world.run(self._open(f"unix:/{host}"))

    async def _open(self, endpoint: str) -> None:
        self.peer = Peer(self, "c")
        self.line = await aio.open_line(endpoint, self.peer.receiver)
        await self.peer.ready()

    def request(self, peer: Conversation, number: str, text: str) -> None:
        self.notes.append(text)

    def begin(self, text: str) -> asyncio.Task[str]:
        """Ask, and let it be known."""
        number, pending = self.peer.ask(text)
        self.last = number

        async def reply() -> str:
            try:
                return await self.peer.reply_to(pending)
            except LinesyncError as error:
                return f"gone {error}"

        task = self.world.start(reply())
        self.world.pass_time(0.5)
        return task

    def ask(self, text: str) -> str:
        """Ask; the reply without its id."""
        task = self.begin(text)
        self.world.settle(task.done)
        return task.result()

    def note(self, text: str) -> None:
        self.peer.note(text)
        self.world.pass_time(0.5)

    def open(self, text: str) -> Channel:
        return Channel(self, self.peer.open(text))

    def kill(self) -> None:
        self.line.die()
        self.peer.abandon("killed")
        self.world.pass_time(0.5)


class Channel:
    def __init__(self, script: Script, stream: Stream) -> None:
        self.world, self.stream = script.world, stream

    def message(self) -> str:
        item = self.world.run(self.stream.receive())
        assert item.stream == MESSAGE, item
        return str(item.data.decode())

    def data(self) -> bytes:
        item = self.world.run(self.stream.receive())
        assert item.stream == 1
        return bytes(item.data)

    def give(self, data: bytes) -> None:
        self.world.run(self.stream.send(0, data))
        self.world.pass_time(0.5)


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=3) as one:
        yield one


def code(reply: str) -> str:
    positional, _ = escaping.split(reply)
    return positional[1] if positional[0] == "err" else positional[0]


# -- arrivals ---------------------------------------------------------------------------------------------------------


def test_a_repeated_arrival_joins_once_and_gets_the_same_result(world: World) -> None:
    one, two = Script(world), Script(world)
    first = one.begin("barrier b 2 arrival=x1")
    second = two.begin("barrier b 2 arrival=x1")
    assert not first.done() and not second.done()
    assert two.ask("barrier b 2 arrival=x2") == "ok 1 2 hub hub"
    assert first.result() == second.result() == "ok 1 1 hub hub"
    assert one.ask("barrier b 2 arrival=x1") == "ok 1 1 hub hub"


def test_a_confirmed_result_is_forgotten(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 1 arrival=x1") == "ok 1"
    assert script.ask("sem s 1 arrival=x1") == "ok 1"
    script.note(f"confirm {script.last} arrival=x1")
    assert script.ask("sem s 1 arrival=x1") == "ok 2"


def test_what_was_taken_and_not_confirmed_goes_back_and_what_was_confirmed_is_gone(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 3") == "ok 3"
    for confirms, left in ((False, "3"), (True, "2")):
        other = Script(world)
        assert other.ask("sem s -1") == "ok 2"
        if confirms:
            other.note(f"confirm {other.last}")
        other.kill()
        assert script.ask("sem s 0") == f"ok {left}"


def test_a_withdrawn_wait_is_answered_with_failed(world: World) -> None:
    script = Script(world)
    waiting = script.begin("await never")
    script.note(f"withdraw {script.last}")
    assert code(waiting.result()) == "failed"


def test_an_option_that_is_not_known_is_ignored_and_a_capital_one_refused(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 1 colour=blue") == "ok 1"
    assert code(script.ask("sem s 1 Colour=blue")) == "failed"
    assert script.ask("sem s 0") == "ok 1"


# -- barriers ---------------------------------------------------------------------------------------------------------


def test_members_may_be_counted_or_not_and_must_be_as_many_as_said(world: World) -> None:
    script = Script(world)
    assert code(script.ask("barrier b 3 Members=a,b")) == "usage"
    waiting = script.begin("barrier b 2 Members=hub#[1-2] member=hub#1")
    assert script.ask("barrier b 0 Members=hub#2,hub#1 member=hub#2") == "ok 1 2 hub#1 hub#2"
    assert waiting.result() == "ok 1 1 hub#1 hub#2"


def test_more_than_32_parties_are_named_only_to_who_asks(world: World) -> None:
    script = Script(world)
    waiting = script.begin("barrier b 33")
    curious = script.begin("barrier b 33 who=1")
    for _ in range(31):
        last = script.begin("barrier b 33")
    assert waiting.result() == "ok 1 1 count=33" and last.result() == "ok 1 33 count=33"
    assert curious.result() == "ok 1 2" + " hub" * 33


def test_lost_members_that_are_tolerated_are_named_apart(world: World) -> None:
    world.agent("a")
    world.deliver()
    world.kill_agent("a")
    world.pass_time(25.0)
    assert Script(world).ask("barrier b 0 Members=hub,a Tolerate=1") == "ok 1 1 hub lost=a"


def test_an_abort_is_told_once_to_those_who_come_later(world: World) -> None:
    script = Script(world)
    assert code(script.ask("barrier b 0 Members=hub,hub#2 Abort=no%20power")) == "aborted"
    assert code(script.ask("barrier b 0 Members=hub,hub#2 member=hub#2")) == "aborted"
    assert not script.begin("barrier b 0 Members=hub,hub#2 member=hub#2").done()


def test_a_name_for_one_use_lingers_or_is_used_up(world: World) -> None:
    script = Script(world)
    assert script.ask("barrier b 1 Reuse=once") == "ok 1 1 hub"
    assert code(script.ask("barrier b 1 Reuse=once")) == "mismatch"
    assert script.ask("barrier c 1 Reuse=linger%3D5") == "ok 1 1 hub"
    assert escaping.split(script.ask("barrier c 1 Reuse=linger%3D5"))[0][1] == "1"
    world.pass_time(5.0)
    assert escaping.split(script.ask("barrier c 1 Reuse=linger%3D5"))[0][1] == "2"


# -- what is held -----------------------------------------------------------------------------------------------------


def test_a_lock_goes_back_by_giveback_by_unlock_and_with_its_client(world: World) -> None:
    script, other = Script(world), Script(world)
    tokens = []
    for back in ("giveback x1", "unlock l {token}", ""):
        token = script.ask("lock l arrival=x1").removeprefix("ok ")
        script.note(f"confirm {script.last} arrival=x1")
        tokens.append(int(token))
        assert code(other.ask("lock l timeout=0")) == "timeout"
        if back:
            assert script.ask(back.format(token=token)) == "ok"
            assert code(script.ask("giveback x1")) == "failed"
        else:
            script.kill()
    assert code(other.ask("lock l timeout=0")) == "ok"
    assert tokens == sorted(set(tokens))


def test_a_lock_of_another_host_is_denied_and_a_kept_one_outlives_its_client(world: World) -> None:
    world.agent("a")
    world.deliver()
    script, other = Script(world, "a"), Script(world)
    token = script.ask("lock l arrival=x1 Keep=1").removeprefix("ok ")
    script.note(f"confirm {script.last} arrival=x1")
    script.kill()
    assert code(other.ask("lock l timeout=0")) == "timeout"
    assert code(other.ask(f"unlock l {token}")) == "denied"
    assert Script(world, "a").ask(f"unlock l {token}") == "ok"


def test_a_reset_revokes_and_fails_and_says_how_many(world: World) -> None:
    script, other = Script(world), Script(world)
    script.ask("lock l arrival=x1")
    script.note(f"confirm {script.last} arrival=x1")
    waiting = other.begin("lock l")
    assert other.ask("reset l") == "ok 1 1"
    assert code(waiting.result()) == "aborted"
    (note,) = script.notes
    assert escaping.split(note)[0][:3] == ["revoked", "-", "x1"]


def test_units_are_bounded_with_what_is_held(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 2 Bound=2") == "ok 2"
    assert script.ask("sem s -1 arrival=x1 Hold=1") == "ok 1"
    script.note(f"confirm {script.last} arrival=x1")
    assert code(script.ask("sem s 1")) == "mismatch"
    assert script.ask("giveback x1") == "ok" and script.ask("sem s 0") == "ok 2"


# -- events, messages -------------------------------------------------------------------------------------------------


def test_a_wait_for_events_names_those_that_are_set(world: World) -> None:
    script = Script(world)
    assert script.ask("event b") == "ok"
    assert script.ask("await a b Any=1") == "ok b"
    waiting = script.begin("await a b")
    assert script.ask("event a") == "ok" and waiting.result() == "ok a b"
    assert script.ask("event a b Clear=1") == "ok"
    assert code(script.ask("await a timeout=0")) == "timeout"


def test_messages_are_read_from_a_number_on_with_or_without_our_own(world: World) -> None:
    script = Script(world)
    assert script.ask("send t mine") == "ok 1"
    assert script.ask("send t k%3Dv %. member=a") == "ok 2"
    (read,) = escaping.split(script.ask("receive t 1"))[0][1:]
    assert json.loads(read) == [[1, "hub", ["mine"]], [2, "a", ["k=v", ""]]]
    (others,) = escaping.split(script.ask("receive t 1 Others=1"))[0][1:]
    assert json.loads(others) == [[1, "a", ["k=v", ""]]]
    (most,) = escaping.split(script.ask("receive t 1 most=1"))[0][1:]
    assert len(json.loads(most)) == 1


def test_gathering_waits_for_every_other_host_of_the_group(world: World) -> None:
    for name in ("a", "b"):
        world.agent(name, ["group=g", "group_size=2", f"role=of-{name}"])
    world.deliver()
    one, two = Script(world, "a"), Script(world, "b")
    waiting = one.begin("gather t")
    assert code(one.ask("gather t Role=nobody")) == "mismatch"
    assert two.ask("send t x") == "ok 1"
    assert json.loads(escaping.split(waiting.result())[0][1]) == [[1, "b", ["x"]]]


# -- exchanges --------------------------------------------------------------------------------------------------------


def test_an_exchange_goes_step_by_step_as_in_the_page(world: World) -> None:
    script = Script(world)
    one = script.open("exchange e hub#[1-2] 5 member=hub#2 arrival=x1")
    assert one.message() == "ok give"
    one.give(b"hello")
    two = script.open("exchange e hub#1,hub#2 0 member=hub#1 arrival=x2")
    assert two.message() == "ok give"
    for channel in (one, two):
        assert channel.message() == "part hub#1 0 total=5"
        assert channel.message() == "part hub#2 5"
        assert channel.data() == b"hello"
        assert channel.message() == f"done {hashlib.sha256(b'hello').hexdigest()}"
        channel.stream.end()


def test_a_repeated_exchange_has_its_bytes_there_already(world: World) -> None:
    script = Script(world)
    opening = "exchange e hub#[1-2] 5 member=hub#2 arrival=x1"
    first = script.open(opening)
    assert first.message() == "ok give"
    first.give(b"hello")
    second = script.open(opening)
    assert second.message() == "ok had"
    assert code(first.message()) == "failed"


@pytest.mark.parametrize(("reason", "told"), [("given up", "ok"), ("killed", "lost")])
def test_a_channel_that_is_reset_is_a_withdrawal_or_a_death(world: World, reason: str, told: str) -> None:
    script = Script(world)
    channel = script.open("exchange e hub#[1-2] 5 member=hub#1")
    assert channel.message() == "ok give"
    channel.stream.reset(reason)
    world.pass_time(0.5)
    assert code(script.open("exchange e hub#[1-2] 5 member=hub#2").message()) == told


def test_too_much_is_refused_before_anything_is_sent(world: World) -> None:
    channel = Script(world).open(f"exchange e hub,hub#2 {(16 << 20) + 1}")
    assert code(channel.message()) == "usage"
