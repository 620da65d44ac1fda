"""``--port auto``: the agent finds the port on which a hub answers."""

from __future__ import annotations

import asyncio

import pytest

from linesync.agent.discover import find_port
from linesync.runtime.conversation import User
from linesync.runtime.peer import Peer
from linesync.transports import connect
from tests.real import pty_pair, require


@pytest.mark.real
def test_the_port_on_which_a_hub_answers_is_found_among_others() -> None:
    require("socat")
    said: list[str] = []

    async def main(silent: str, ours: str, theirs: str) -> str:
        hub = Peer(User(), "l")
        rounds = iter([[silent], [silent, "/dev/no-such-port", ours]])  # the cable is plugged in later
        looking = asyncio.ensure_future(find_port(said.append, lambda: next(rounds)))
        await connect(theirs, hub.receiver)
        try:
            return await asyncio.wait_for(looking, 30)
        finally:
            await hub.aclose("done")

    with pty_pair() as quiet, pty_pair() as cable:
        assert asyncio.run(main(quiet.left, cable.left, cable.right)) == cable.left
        assert said == [f"no hub answers on {quiet.left}; trying again until one does"]
