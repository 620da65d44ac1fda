"""The hub enforces its policy for every operation that needs a permission, for all messages of clients and agents."""

from __future__ import annotations

from typing import Any

import pytest

from linesync import protocol
from linesync.errors import LinesyncError, NotAllowed
from linesync.model.policy import Policy
from linesync.protocol import Message, operations
from tests.system.world import World

FIELDS: dict[str, Any] = {
    "address": "localhost:80",
    "argv": ("true",),
    "path": "/x",
    "paths": ("/x",),
    "names": ("x",),
    "name": "x",
    "size": 0,
    "number": 1,
}
"""Values of the fields that have no default."""


def messages_to(host: str) -> list[Message]:
    """Each operation that works on a host, for this host."""
    found = []
    for operation in operations.OPERATIONS:
        if operation.permission in ("", operations.SYNC, operations.LOOK):
            continue
        names = operation.message.FIELDS
        field = next((name for name in ("to", "host") if name in names), "")
        if field or host == "hub":
            values = {name: FIELDS[name] for name in names if name in FIELDS and name not in (field,)}
            found.append(operation.message(**values, **({field: host} if field else {})))
    return found


def attacks_on(host: str) -> list[Message]:
    """Messages with which a sender claims to be another client or user, or names a process that it did not start."""
    run = protocol.Run(to=host, argv=("true",))
    return [
        run.but(id=7, Got=0, age=0.0),  # the id of a command of another client
        run.but(User="root"),
        run.but(Detach=True, User="root", id=7),
        protocol.Attach(to=host, number=1, output=True, follow=True, stdin=True),
        protocol.SignalProcess(to=host, number=1, signal=9),
        protocol.SignalProcess(to=host, number=-1),
    ]


def refusal(world: World, peer: Any, message: Message) -> LinesyncError:
    """The error of the hub for a message."""
    text = protocol.encode(message)
    if operations.operation(message).kind == operations.REQUEST:
        _, pending = peer.ask(text)
        return protocol.read_error(world.run(peer.reply_to(pending)))
    stream = peer.open(text)
    item = world.run(stream.receive())
    return protocol.read_error(item.data.decode())


@pytest.mark.parametrize("target", ["hub", "b"])
@pytest.mark.parametrize("sender", ["script", "agent"])
def test_nothing_that_a_host_sends_works_on_the_hub_or_on_another_host(sender: str, target: str) -> None:
    with World(seed=5) as world:
        world.policy = Policy()
        world.hub.set_policy(world.policy)
        for name in ("a", "b"):
            world.agent(name)
        world.deliver()
        agent = world.hosts["a"].agent
        assert agent is not None
        peer = world.client("a")._peer if sender == "script" else agent._uplink
        messages = messages_to(target)
        assert len(messages) >= 4
        for message in messages + attacks_on(target):
            error = refusal(world, peer, message)
            assert isinstance(error, NotAllowed) and "may not" in error.message, message
            assert f"refused '{message.VERB}' from" in world.transcript()
