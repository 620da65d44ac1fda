"""Checks rules of docs/protocol.md, sections 8.3 and 8.5, on a real hub. The tests write the requests by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator

import pytest

from linesync.client import aio
from linesync.errors import LinesyncError
from linesync.protocol import escaping
from linesync.runtime.channels.streams import MESSAGE, Stream
from linesync.runtime.conversation import Conversation
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from tests.system.world import World


class Script(User[Peer]):
    """A connection to the hub or to a host's agent. The test writes every message.

    :ivar notes: the messages without a reply that this connection has received.
    """

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
        """Send a request, and give the hub time to receive it. Returns a task whose result is the reply."""
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
        """Send a request. Returns the reply without its id."""
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
    """An open channel of a script."""

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

    def send(self, data: bytes) -> None:
        self.world.run(self.stream.send(0, data))
        self.world.pass_time(0.5)


@pytest.fixture
def world() -> Iterator[World]:
    with World(seed=3) as created:
        yield created


def code(reply: str) -> str:
    positional, _ = escaping.split(reply)
    return positional[1] if positional[0] == "err" else positional[0]


# -- arrivals ----------------------------------------------------------------------------------------------------------


def test_a_repeated_arrival_is_counted_once_and_gets_the_same_result(world: World) -> None:
    script, other = Script(world), Script(world)
    first = script.begin("barrier b 2 arrival=x1")
    second = other.begin("barrier b 2 arrival=x1")
    assert not first.done() and not second.done()
    assert other.ask("barrier b 2 arrival=x2") == "ok 1 2 hub hub"
    assert first.result() == second.result() == "ok 1 1 hub hub"
    assert script.ask("barrier b 2 arrival=x1") == "ok 1 1 hub hub"


def test_a_confirmed_result_is_forgotten(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 1 arrival=x1") == "ok 1"
    assert script.ask("sem s 1 arrival=x1") == "ok 1"
    script.note(f"confirm {script.last} arrival=x1")
    assert script.ask("sem s 1 arrival=x1") == "ok 2"


def test_uncommitted_units_are_returned_and_committed_ones_are_consumed(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 4") == "ok 4"
    for step, left in (("", "4"), ("commit", "3"), ("- confirm", "2")):
        other = Script(world)
        assert code(other.ask("sem s -1")) == "ok"
        if step == "commit":
            assert other.ask(f"commit {other.last}") == "ok"
        elif step:
            other.note(f"confirm {other.last}")
        other.kill()
        assert script.ask("sem s 0") == f"ok {left}"


def test_a_commit_fails_when_the_grant_has_returned_to_the_hub(world: World) -> None:
    script, other = Script(world), Script(world)
    assert other.ask("sem s 1") == "ok 1"
    assert script.ask("sem s -1") == "ok 0"
    taken = script.last
    assert code(other.ask("reset s")) == "ok"
    assert code(script.ask(f"commit {taken}")) == "aborted"
    assert code(script.ask("commit 999")) == "failed"


def test_a_retry_of_a_committed_grant_gets_the_same_grant(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 2") == "ok 2"
    for _ in range(2):
        assert script.ask("sem s -1 arrival=x1") == "ok 1"
        assert script.ask(f"commit {script.last} arrival=x1") == "ok"
    assert script.ask("sem s 0") == "ok 1"


def test_a_withdrawn_wait_is_answered_with_failed(world: World) -> None:
    script = Script(world)
    waiting = script.begin("await never")
    script.note(f"withdraw {script.last}")
    assert code(waiting.result()) == "failed"


def test_an_unknown_option_is_ignored_if_it_begins_with_a_small_letter_and_else_refused(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 1 colour=blue") == "ok 1"
    assert code(script.ask("sem s 1 Colour=blue")) == "unsupported"
    assert script.ask("sem s 0") == "ok 1"


# -- barriers ----------------------------------------------------------------------------------------------------------


def test_the_count_of_members_may_be_0_and_must_otherwise_be_right(world: World) -> None:
    script = Script(world)
    assert code(script.ask("barrier b 3 Members=a,b")) == "usage"
    waiting = script.begin("barrier b 2 Members=hub#[1-2] member=hub#1")
    assert script.ask("barrier b 0 Members=hub#2,hub#1 member=hub#2") == "ok 1 2 hub#1 hub#2"
    assert waiting.result() == "ok 1 1 hub#1 hub#2"


def test_more_than_32_parties_are_named_only_on_request(world: World) -> None:
    script = Script(world)
    waiting = script.begin("barrier b 33")
    with_names = script.begin("barrier b 33 who=1")
    for _ in range(31):
        last = script.begin("barrier b 33")
    assert waiting.result() == "ok 1 1 count=33" and last.result() == "ok 1 33 count=33"
    assert with_names.result() == "ok 1 2" + " hub" * 33


def test_tolerated_lost_members_are_named_separately(world: World) -> None:
    world.agent("a")
    world.deliver()
    world.kill_agent("a")
    world.pass_time(25.0)
    assert Script(world).ask("barrier b 0 Members=hub,a Tolerate=1") == "ok 1 1 hub lost=a"


def test_an_abort_is_reported_once_to_later_arrivals(world: World) -> None:
    script = Script(world)
    assert code(script.ask("barrier b 0 Members=hub,hub#2 Abort=no%20power")) == "aborted"
    assert code(script.ask("barrier b 0 Members=hub,hub#2 member=hub#2")) == "aborted"
    assert not script.begin("barrier b 0 Members=hub,hub#2 member=hub#2").done()


def test_a_barrier_with_reuse_once_is_used_up_and_one_with_linger_repeats_its_result_for_a_time(world: World) -> None:
    script = Script(world)
    assert script.ask("barrier b 1 Reuse=once") == "ok 1 1 hub"
    assert code(script.ask("barrier b 1 Reuse=once")) == "mismatch"
    assert script.ask("barrier c 1 Reuse=linger%3D5") == "ok 1 1 hub"
    assert escaping.split(script.ask("barrier c 1 Reuse=linger%3D5"))[0][1] == "1"
    world.pass_time(5.0)
    assert escaping.split(script.ask("barrier c 1 Reuse=linger%3D5"))[0][1] == "2"


# -- held objects ------------------------------------------------------------------------------------------------------


def test_a_lock_is_returned_by_giveback_by_unlock_and_when_its_client_ends(world: World) -> None:
    script, other = Script(world), Script(world)
    tokens = []
    for message in ("giveback x1", "unlock l {token}", ""):
        token = script.ask("lock l arrival=x1").removeprefix("ok ")
        assert script.ask(f"commit {script.last} arrival=x1") == "ok"
        tokens.append(int(token))
        assert code(other.ask("lock l timeout=0")) == "timeout"
        if message:
            assert script.ask(message.format(token=token)) == "ok"
            assert code(script.ask("giveback x1")) == "failed"
        else:
            script.kill()
    assert code(other.ask("lock l timeout=0")) == "ok"
    assert tokens == sorted(set(tokens))


def test_unlocking_for_another_host_is_denied_and_a_kept_lock_outlives_its_client(world: World) -> None:
    world.agent("a")
    world.deliver()
    script, other = Script(world, "a"), Script(world)
    token = script.ask("lock l arrival=x1 Keep=1").removeprefix("ok ")
    assert script.ask(f"commit {script.last} arrival=x1") == "ok"
    script.kill()
    assert code(other.ask("lock l timeout=0")) == "timeout"
    assert code(other.ask(f"unlock l {token}")) == "denied"
    assert Script(world, "a").ask(f"unlock l {token}") == "ok"


def test_a_reset_revokes_locks_fails_waits_and_counts_both(world: World) -> None:
    script, other = Script(world), Script(world)
    script.ask("lock l arrival=x1")
    assert script.ask(f"commit {script.last} arrival=x1") == "ok"
    waiting = other.begin("lock l")
    assert other.ask("reset l") == "ok 1 1"
    assert code(waiting.result()) == "aborted"
    (note,) = script.notes
    assert escaping.split(note)[0][:3] == ["revoked", "-", "x1"]


def test_a_bound_includes_held_units(world: World) -> None:
    script = Script(world)
    assert script.ask("sem s 2 Bound=2") == "ok 2"
    assert script.ask("sem s -1 arrival=x1 Hold=1") == "ok 1"
    assert script.ask(f"commit {script.last} arrival=x1") == "ok"
    assert code(script.ask("sem s 1")) == "mismatch"
    assert script.ask("giveback x1") == "ok" and script.ask("sem s 0") == "ok 2"


# -- events, messages --------------------------------------------------------------------------------------------------


def test_the_reply_to_await_names_the_events_that_are_set(world: World) -> None:
    script = Script(world)
    assert script.ask("event b") == "ok"
    assert script.ask("await a b Any=1") == "ok b"
    waiting = script.begin("await a b")
    assert script.ask("event a") == "ok" and waiting.result() == "ok a b"
    assert script.ask("event a b Clear=1") == "ok"
    assert code(script.ask("await a timeout=0")) == "timeout"


def test_receive_returns_the_messages_from_a_number_on_with_or_without_those_of_the_receiver(world: World) -> None:
    script = Script(world)
    assert script.ask("send t mine") == "ok 1"
    assert script.ask("send t k%3Dv %. member=a") == "ok 2"
    (read,) = escaping.split(script.ask("receive t 1"))[0][1:]
    assert json.loads(read) == [[1, "hub", ["mine"]], [2, "a", ["k=v", ""]]]
    (messages_of_others,) = escaping.split(script.ask("receive t 1 Others=1"))[0][1:]
    assert json.loads(messages_of_others) == [[1, "a", ["k=v", ""]]]
    (most,) = escaping.split(script.ask("receive t 1 most=1"))[0][1:]
    assert len(json.loads(most)) == 1


def test_gather_waits_for_every_other_host_of_the_group(world: World) -> None:
    for name in ("a", "b"):
        world.agent(name, ["group=g", "group_size=2", f"role=of-{name}"])
    world.deliver()
    first, second = Script(world, "a"), Script(world, "b")
    waiting = first.begin("gather t")
    assert code(first.ask("gather t Role=nobody")) == "mismatch"
    assert second.ask("send t x") == "ok 1"
    assert json.loads(escaping.split(waiting.result())[0][1]) == [[1, "b", ["x"]]]


# -- exchanges ---------------------------------------------------------------------------------------------------------


def test_an_exchange_has_the_steps_that_the_page_describes(world: World) -> None:
    script = Script(world)
    first = script.open("exchange e hub#[1-2] 5 member=hub#2 arrival=x1")
    assert first.message() == "ok give"
    first.send(b"hello")
    second = script.open("exchange e hub#1,hub#2 0 member=hub#1 arrival=x2")
    assert second.message() == "ok give"
    for channel in (first, second):
        assert channel.message() == "part hub#1 0 total=5"
        assert channel.message() == "part hub#2 5"
        assert channel.data() == b"hello"
        assert channel.message() == f"done {hashlib.sha256(b'hello').hexdigest()}"
        channel.stream.end()


def test_a_repeated_exchange_does_not_send_its_bytes_again(world: World) -> None:
    script = Script(world)
    opening = "exchange e hub#[1-2] 5 member=hub#2 arrival=x1"
    first = script.open(opening)
    assert first.message() == "ok give"
    first.send(b"hello")
    second = script.open(opening)
    assert second.message() == "ok had"
    assert code(first.message()) == "failed"


@pytest.mark.parametrize(("reason", "result"), [("given up", "ok"), ("killed", "lost")])
def test_a_reset_of_an_exchanges_channel_withdraws_the_member_or_means_that_its_client_died(
    world: World, reason: str, result: str
) -> None:
    script = Script(world)
    channel = script.open("exchange e hub#[1-2] 5 member=hub#1")
    assert channel.message() == "ok give"
    channel.stream.reset(reason)
    world.pass_time(0.5)
    assert code(script.open("exchange e hub#[1-2] 5 member=hub#2").message()) == result


def test_a_size_over_the_limit_is_refused_before_any_bytes_are_sent(world: World) -> None:
    channel = Script(world).open(f"exchange e hub,hub#2 {(16 << 20) + 1}")
    assert code(channel.message()) == "usage"


def test_8_3_revoked_names_a_request_without_an_arrival_by_the_session_and_its_id() -> None:
    with World(seed=3) as world:
        script = Script(world)
        assert script.ask("sem slots 1").startswith("ok")
        assert script.ask("sem slots -1 Hold=1").startswith("ok")
        taken = script.last
        assert script.ask(f"commit {taken}") == "ok"
        assert script.ask("reset slots").startswith("ok")
        (note,) = [text for text in script.notes if text.startswith("revoked ")]
        _, client, arrival, _ = note.split(" ")
        assert client == "-" and arrival.partition("/")[2] == taken and arrival.partition("/")[0].isdigit()


def test_8_3_a_lost_host_that_returns_in_its_session_is_up_without_another_register() -> None:
    with World(seed=3, lease=5.0) as world:
        host = world.agent("sut")
        world.settle(world.idle, 10)
        session = world.hub_peer(host).link.session
        host.wire.pull()
        world.pass_time(8)
        host.wire.plug()
        world.pass_time(8)
        assert [event[:2] for event in world.take_events()] == [("up", "sut"), ("lost", "sut"), ("up", "sut")]
        assert world.hub_peer(host).link.session is session
        arrived = [line for line in world.transcript(1000).splitlines() if "hub/sut" in line and "<-" in line]
        assert sum(" register sut " in line for line in arrived) <= 1, "the first one may precede the transcript"
