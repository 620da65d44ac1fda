"""``--port auto``: the agent finds the port on which a hub answers."""

from __future__ import annotations

import asyncio

import pytest

from linesync.agent.discover import find_port
from linesync.runtime.peer import Peer
from linesync.runtime.user import User
from linesync.transports import connect
from tests.real import pty_pair, require


@pytest.mark.real
def test_the_agent_finds_the_one_port_on_which_a_hub_answers() -> None:
    require("socat")
    reported: list[str] = []

    async def main(silent: str, agent_port: str, hub_port: str) -> str:
        hub = Peer(User(), "l")
        # The agent's port is plugged in later, so it is missing in the first list of ports.
        ports = iter([[silent], [silent, "/dev/no-such-port", agent_port]])
        search = asyncio.ensure_future(find_port(reported.append, lambda: next(ports)))
        await connect(hub_port, hub.receiver)
        try:
            return await asyncio.wait_for(search, 30)
        finally:
            await hub.aclose("done")

    with pty_pair() as quiet, pty_pair() as cable:
        assert asyncio.run(main(quiet.left, cable.left, cable.right)) == cable.left
        assert reported == [f"no hub answers on {quiet.left}; trying again until a hub answers"]
