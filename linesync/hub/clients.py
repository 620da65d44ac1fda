"""Reports about the clients of the hub: the clients with waits or holds, and the clients that would lose them with the hub."""

from __future__ import annotations

from collections import Counter

from ..model.participants import HUB
from ..model.state.status import ClientState
from ..model.sync.services import SyncServices
from ..protocol.ids import Id
from .sessions import Sessions
from .state.durable import Durable

__all__ = ["client_states", "ends_with_hub"]


def client_states(services: SyncServices, sessions: Sessions) -> list[ClientState]:
    """The states of all agents, and of all scripts with a wait or a hold."""
    waits = services.waits_by_client()
    found = []
    for session in sessions.all():
        scripts = [Id.read(client.number) for client in waits if client.host == (session.host or HUB)]
        for script in ["", *(id_.script for id_ in scripts if id_.number == session.id and id_.script)]:
            client, principal = session.client(script), session.principal(script)
            if not session.host and client not in waits:
                continue
            found.append(
                ClientState(
                    client=client.number,
                    host=principal.host,
                    script=principal.script,
                    uid=principal.uid,
                    line=principal.line,
                    waits=waits.get(client, 0),
                )
            )
    return found


def ends_with_hub(services: SyncServices, sessions: Sessions, durable: Durable | None) -> list[str]:
    """The reasons why the end of this hub would lose waits or holds, as clauses.

    There is a clause for each client whose waits and holds the next hub cannot continue, and a clause for a full disk.
    """
    why = "this hub stores no state" if durable is None else "its linesync cannot continue its session"
    found = []
    ending = Counter(services.waits_by_client())
    ending.update(services.groups.clients())
    for client, count in ending.items():
        id_ = Id.read(client.number)
        session = sessions.numbered(id_.number)
        exchange = id_.script.startswith("x")  # not listed here, because a drain waits for its channel
        if not exchange and (session is None or not session.keeping):
            number = "1 wait or hold" if count == 1 else f"{count} waits and holds"
            found.append(f"{number} of {client.principal}, which would be lost ({why})")
    if durable is not None and durable.refusal:
        found.append("room on the disk")
    return found
