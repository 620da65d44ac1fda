"""The arrivals at exchanges whose channels ended with an earlier hub, until their clients open other channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from ..limits import LEASE
from ..model.decisions import Outcome
from ..model.participants import Cause, Client
from ..protocol.ids import Id
from ..store.blobs import Blob, Blobs
from .requests import Requests
from .sessions import HubSession

__all__ = ["Unopened"]

_NOT_OPENED = "it did not open the exchange again after the hub restarted"


class Unopened:
    """The arrivals that wait, and have no channel.

    :param blobs: the data of exchanges.
    :param report: is called with each sentence for the log.
    """

    def __init__(self, requests: Requests, blobs: Blobs, report: Callable[[str], None]) -> None:
        self._requests = requests
        self._blobs = blobs
        self._report = report
        self._all: dict[tuple[str, str], tuple[Client, Blob | None]] = {}  # bound: waits.WAITS
        """(host, arrival id) to its client, and to the first bytes of its data."""
        self._due: dict[str, asyncio.TimerHandle] = {}  # bound: limits.SESSIONS, options
        """The sessions that have continued, each with the end of the time in which it may open its channels again."""
        requests.on_continued = self._continued
        requests.on_session_over = lambda session: self._end(session.id)

    def __iter__(self) -> Iterator[Client]:
        return (client for client, _ in self._all.values())

    def restore(self) -> None:
        """Find the data that an earlier hub has stored, and the arrivals that wait."""
        services, memory = self._requests.services, self._requests.memory
        needed = services.exchanges.data()
        begun: dict[tuple[str, str], Blob] = {}
        for number, row in list(memory.data.items()):
            key = row.host, row.arrival
            if number in needed:
                self._blobs.restore(number, row.size, complete=True)
            elif services.exchanges.is_open_arrival(*key):
                begun[key] = self._blobs.restore(number, row.size, complete=False)
            else:
                memory.drop_data(number)
        for client in services.waits_by_client():
            if Id.read(client.number).script.startswith("x"):
                for arrival in services.arrivals_of(client):
                    self._all[client.host, arrival] = client, begun.get((client.host, arrival))
                    self._requests.on_outcome[client.host, arrival] = self._over
        lost = needed - memory.data.keys()
        why = "an earlier version of the hub did not store it"
        self._requests.tell(services.exchanges.data_lost(lost, why, self._requests.now()))

    def take(self, key: tuple[str, str]) -> Blob | None:
        """The client of an arrival has opened another channel. Returns the first bytes of its data, if there are any."""
        _, begun = self._all.pop(key, (None, None))
        return begun

    def _over(self, outcome: Outcome) -> None:
        """An arrival has ended before its channel was opened again."""
        key = outcome.client.host, outcome.arrival
        del self._requests.on_outcome[key]
        begun = self.take(key)
        if begun is not None:
            self._blobs.drop(begun.number)

    def _continued(self, session: HubSession) -> None:
        """A session has continued, so its peer opens its channels again now."""
        time = max(self._requests.lease, LEASE)
        self._due[session.id] = asyncio.get_running_loop().call_later(time, self._end, session.id)

    def _end(self, session: str) -> None:
        """The clients of this session that have not opened their channels again are dead."""
        timer = self._due.pop(session, None)
        if timer is not None:
            timer.cancel()
        for client in {client for client in self if Id.read(client.number).number == session}:
            self._report(f"{client.principal} is gone from an exchange: {_NOT_OPENED}")
            self._requests.perform(
                lambda services, now, client=client: services.client_gone(  # type: ignore[misc]
                    client, now, Cause.CLIENT_GONE, _NOT_OPENED
                )
            )

    def close(self) -> None:
        """Stop the timers."""
        for timer in self._due.values():
            timer.cancel()
