"""Autobaud: a hub and an agent with ``auto`` in their endpoints, on a null modem that follows the speeds of its ptys."""

from __future__ import annotations

import os
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Daemon, Site, site


def rate(place: Site, side: str = "hub") -> object:
    return next((row["baud"] for row in place.json(side, "links") if row["kind"] == "serial"), None)


def await_rate(place: Site, baud: int, seconds: float = 10.0) -> None:
    try:
        place.until(lambda: [rate(place, "hub"), rate(place, "sut")] == [baud, baud], f"{baud} baud", seconds)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *(daemon.log for daemon in place.daemons)])) from None


@contextmanager
def autobaud_pair(cable: NullModem, a: str = ",auto", b: str = ",baud=auto") -> Iterator[tuple[Site, Daemon, Daemon]]:
    with site() as place:
        hub = place.hub("--port", cable.a + a)
        agent = place.agent("--port", cable.b + b)
        place.await_host()
        yield place, hub, agent


def copy_speed(place: Site, size: int, name: str) -> float:
    """Copy a file to the host. Returns the bytes per second."""
    sent, arrived = place.folder / f"{name}.sent", place.folder / f"{name}.arrived"
    sent.write_bytes(os.urandom(size))
    begin = time.monotonic()
    done = place.type("hub", "cp", str(sent), f"sut:{arrived}", seconds=60)
    took = time.monotonic() - begin
    assert done.code == 0, done.err
    assert arrived.read_bytes() == sent.read_bytes()
    return size / took


def test_hub_and_agent_raise_the_rate_and_find_each_other_after_either_is_killed() -> None:
    with NullModem(baud=None, max_baud=921600, seed=3) as cable, autobaud_pair(cable) as (place, hub, agent):
        await_rate(place, 921600)
        assert "921600" in place.type("hub", "links").text
        assert copy_speed(place, 300_000, "top") > 2 * 11520, "at least twice the speed of 115200 baud"

        agent.kill()
        begin = time.monotonic()
        agent = place.agent("--port", cable.b + ",auto")
        agent.says("is registered with the hub", 6)
        assert time.monotonic() - begin < 6
        await_rate(place, 921600)

        hub.kill()
        hub = place.hub("--port", cable.a + ",auto")
        agent.says("the line is at 115200 baud now", 12)
        place.await_host()
        await_rate(place, 921600)
        assert copy_speed(place, 100_000, "again") > 11520

        assert agent.stop() == 0
        port = os.open(cable.b, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            assert termios.tcgetattr(port)[5] == termios.B115200, "the next user of the port must find the old rate"
        finally:
            os.close(port)
        hub.says("the line is at 115200 baud now", 10)


def test_a_line_stays_at_the_highest_rate_that_it_carries() -> None:
    with (
        NullModem(baud=None, max_baud=230400) as cable,
        autobaud_pair(cable, ",auto", ",115200,auto") as (place, _, _agent),
    ):
        await_rate(place, 230400)
        assert copy_speed(place, 60_000, "file") > 11520
        time.sleep(1.5)
        await_rate(place, 230400, 2)


def test_the_rate_does_not_change_if_one_end_has_a_fixed_rate() -> None:
    with NullModem(baud=None) as cable, autobaud_pair(cable, "", ",auto") as (place, _, agent):
        time.sleep(1.0)
        assert rate(place) == rate(place, "sut") == 115200
        assert "baud now" not in agent.log
