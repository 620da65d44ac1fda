"""A relay between two channels: it copies items in order, lets senders wait, and reports the end of each side to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from linesync.errors import BrokenError, EndOfStream
from linesync.limits import CREDIT_PIPE
from linesync.runtime.channels.relay import splice
from linesync.runtime.channels.streams import MESSAGE, Item, Stream

from .peers import Pair, pause, play

SIZE = 20_000


class RelayWithEnds:
    """A script's channel and a host's channel, with a relay between them.

    :ivar script: the script's end of its channel; ``left`` is the relay's end of it.
    :ivar host: the host's end of its channel; ``right`` is the relay's end of it.
    :ivar passed: the items that the relay has passed to its observer.
    """

    def __init__(self, script: Stream, host: Stream, left: Stream, right: Stream, pairs: tuple[Pair, Pair]) -> None:
        self.script, self.host, self.left, self.right = script, host, left, right
        self.script_pair, self.host_pair = pairs
        self.passed: list[Item] = []
        self.task = asyncio.ensure_future(splice(left, right, self.passed.append))


def with_relay(test: Callable[[RelayWithEnds], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A decorator that runs a test on virtual time, with a relay as its argument."""

    async def work() -> None:
        script_pair, host_pair = await Pair.joined(), await Pair.joined()
        script, left = await script_pair.channel()
        right, host = await host_pair.channel()
        await test(RelayWithEnds(script, host, left, right, (script_pair, host_pair)))

    def run() -> None:
        play(work)

    run.__name__ = test.__name__
    return run


@with_relay
async def test_bytes_and_messages_pass_in_order_both_ways(relay: RelayWithEnds) -> None:
    relay.script.send_message("begin")
    relay.script.send_nowait(0, b"in")
    relay.host.send_nowait(2, b"error")
    relay.host.send_message("done")
    assert [await relay.host.receive(), await relay.host.receive()] == [Item(MESSAGE, b"begin"), Item(0, b"in")]
    assert [await relay.script.receive(), await relay.script.receive()] == [Item(2, b"error"), Item(MESSAGE, b"done")]


@with_relay
async def test_the_observer_sees_only_what_the_host_sends(relay: RelayWithEnds) -> None:
    relay.script.send_nowait(0, b"there")
    relay.host.send_nowait(1, b"back")
    await pause()
    assert relay.passed == [Item(1, b"back")]


@with_relay
async def test_an_end_can_receive_after_it_has_sent_everything(relay: RelayWithEnds) -> None:
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


@pytest.mark.parametrize("side", ["script", "host"])
def test_a_reset_of_one_side_resets_the_other_with_its_reason(side: str) -> None:
    async def test(relay: RelayWithEnds) -> None:
        side_end, other_end = (relay.script, relay.host) if side == "script" else (relay.host, relay.script)
        side_end.reset("the disk is full")
        with pytest.raises(BrokenError, match="the disk is full"):
            await other_end.receive()

    with_relay(test)()


@with_relay
async def test_a_relay_ends_when_one_side_has_reset_its_channel(relay: RelayWithEnds) -> None:
    relay.script.reset("the disk is full")
    await asyncio.wait_for(relay.task, 5.0)


@with_relay
async def test_a_session_that_ends_resets_the_other_side(relay: RelayWithEnds) -> None:
    relay.host_pair.listener.abandon("the host was killed")
    relay.host_pair.caller.abandon("host sut is lost")
    with pytest.raises(BrokenError, match="host sut is lost"):
        await relay.script.receive()


@with_relay
async def test_a_sender_waits_while_the_reader_does_not_read_and_no_data_is_lost(relay: RelayWithEnds) -> None:
    sent = 0
    while relay.script.send_nowait(0, bytes([sent % 251]) * SIZE):
        sent += 1
        await pause(0.01)
        assert sent * SIZE < 3 * CREDIT_PIPE, "the sender may send more than the credit of the two channels"
    sent += 1
    await pause(5.0)
    assert relay.script.full, "the relay has accepted more than the credit of the reader"
    got = bytearray()
    while len(got) < sent * SIZE:
        got += (await relay.host.receive()).data
    assert bytes(got) == b"".join(bytes([number % 251]) * SIZE for number in range(sent))
    await relay.script.drained()


@with_relay
async def test_a_relay_that_waits_for_credit_notices_that_the_sender_is_gone(relay: RelayWithEnds) -> None:
    while relay.script.send_nowait(0, bytes(SIZE)):
        await pause(0.01)
    assert relay.right.full
    relay.script_pair.listener.abandon("the script was killed")
    await pause()
    assert relay.host.broken == "the script was killed", "the reader must learn this before it has read the data"


@with_relay
async def test_a_relay_that_waits_for_credit_notices_that_the_reader_is_gone(relay: RelayWithEnds) -> None:
    while relay.script.send_nowait(0, bytes(SIZE)):
        await pause(0.01)
    relay.host.reset("cannot write")
    await pause()
    with pytest.raises(BrokenError, match="cannot write"):
        await relay.script.drained()


@pytest.mark.parametrize(
    ("reason", "reported"),
    [("host b is lost", "host b is lost"), (None, "the relay between the two hosts was stopped")],
)
def test_a_relay_that_is_cancelled_resets_both_ends_with_the_reason(reason: str | None, reported: str) -> None:
    async def test(relay: RelayWithEnds) -> None:
        await pause()
        relay.task.cancel(reason)
        for end in (relay.script, relay.host):
            with pytest.raises(BrokenError, match=reported):
                await end.receive()
        assert relay.task.cancelled()

    with_relay(test)()
