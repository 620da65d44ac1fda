"""Two joined channels: what passes, what waits, and how each end is notified of the end of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from linesync.errors import BrokenError, EndOfStream
from linesync.limits import CREDIT_PIPE
from linesync.runtime.relay import splice
from linesync.runtime.streams import MESSAGE, Item, Stream

from .peers import Pair, pause, play

SIZE = 20_000


class Joined:
    """A script's channel and a host's channel, with the relay between them."""

    def __init__(self, script: Stream, host: Stream, left: Stream, right: Stream, pairs: tuple[Pair, Pair]) -> None:
        self.script, self.host, self.left, self.right = script, host, left, right
        self.script_pair, self.host_pair = pairs
        self.passed: list[Item] = []
        self.task = asyncio.ensure_future(splice(left, right, self.passed.append))


def relayed(test: Callable[[Joined], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test on virtual time, with a relay as its argument."""

    async def work() -> None:
        script_pair, host_pair = await Pair.joined(), await Pair.joined()
        script, left = await script_pair.channel()
        right, host = await host_pair.channel()
        await test(Joined(script, host, left, right, (script_pair, host_pair)))

    def run() -> None:
        play(work)

    run.__name__ = test.__name__
    return run


@relayed
async def test_bytes_and_messages_pass_in_order_both_ways(relay: Joined) -> None:
    relay.script.send_message("begin")
    relay.script.send_nowait(0, b"in")
    relay.host.send_nowait(2, b"error")
    relay.host.send_message("done")
    assert [await relay.host.receive(), await relay.host.receive()] == [Item(MESSAGE, b"begin"), Item(0, b"in")]
    assert [await relay.script.receive(), await relay.script.receive()] == [Item(2, b"error"), Item(MESSAGE, b"done")]


@relayed
async def test_the_observer_sees_only_what_goes_back(relay: Joined) -> None:
    relay.script.send_nowait(0, b"there")
    relay.host.send_nowait(1, b"back")
    await pause()
    assert relay.passed == [Item(1, b"back")]


@relayed
async def test_an_end_that_has_sent_everything_still_receives(relay: Joined) -> None:
    relay.script.end()
    with pytest.raises(EndOfStream):
        await relay.host.receive()
    assert not relay.task.done()
    relay.host.send_nowait(1, b"late")
    relay.host.end()
    assert await relay.script.receive() == Item(1, b"late")
    with pytest.raises(EndOfStream):
        await relay.script.receive()
    await relay.task


@pytest.mark.parametrize("dies", ["script", "host"])
def test_a_reset_of_one_side_resets_the_other_with_its_reason(dies: str) -> None:
    async def test(relay: Joined) -> None:
        one, other = (relay.script, relay.host) if dies == "script" else (relay.host, relay.script)
        one.reset("the disk is full")
        with pytest.raises(BrokenError, match="the disk is full"):
            await other.receive()

    relayed(test)()


@relayed
async def test_a_relay_ends_when_one_side_has_reset_it(relay: Joined) -> None:
    relay.script.reset("the disk is full")
    await asyncio.wait_for(relay.task, 5.0)


@relayed
async def test_a_session_that_ends_resets_the_other_side(relay: Joined) -> None:
    relay.host_pair.listener.abandon("the host was killed")
    relay.host_pair.caller.abandon("host sut is lost")
    with pytest.raises(BrokenError, match="host sut is lost"):
        await relay.script.receive()


@relayed
async def test_a_sender_waits_for_a_reader_that_does_not_read_and_loses_nothing(relay: Joined) -> None:
    sent = 0
    while relay.script.send_nowait(0, bytes([sent % 251]) * SIZE):
        sent += 1
        await pause(0.01)
        assert sent * SIZE < 3 * CREDIT_PIPE, "the credit of the two channels is smaller"
    sent += 1
    await pause(5.0)
    assert relay.script.full, "the relay has accepted more than the reader can hold"
    got = bytearray()
    while len(got) < sent * SIZE:
        got += (await relay.host.receive()).data
    assert bytes(got) == b"".join(bytes([number % 251]) * SIZE for number in range(sent))
    await relay.script.drained()


@relayed
async def test_a_relay_that_waits_for_room_hears_that_the_sender_is_gone(relay: Joined) -> None:
    while relay.script.send_nowait(0, bytes(SIZE)):
        await pause(0.01)
    assert relay.right.full
    relay.script_pair.listener.abandon("the script was killed")
    await pause()
    assert relay.host.broken == "the script was killed", "although the reader has read nothing"


@relayed
async def test_a_relay_that_waits_for_room_hears_that_the_reader_is_gone(relay: Joined) -> None:
    while relay.script.send_nowait(0, bytes(SIZE)):
        await pause(0.01)
    relay.host.reset("cannot write")
    await pause()
    with pytest.raises(BrokenError, match="cannot write"):
        await relay.script.drained()


@pytest.mark.parametrize(
    ("reason", "heard"), [("host b is lost", "host b is lost"), (None, "the relay between the two hosts was stopped")]
)
def test_a_relay_that_is_cancelled_resets_both_ends_with_the_reason(reason: str | None, heard: str) -> None:
    async def test(relay: Joined) -> None:
        await pause()
        relay.task.cancel(reason)
        for end in (relay.script, relay.host):
            with pytest.raises(BrokenError, match=heard):
                await end.receive()
        assert relay.task.cancelled()

    relayed(test)()
