"""The arrivals at exchanges whose channels ended with an earlier hub, until their clients open new channels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from ...limits import LEASE
from ...model.decisions import Outcome
from ...model.participants import Cause, Client
from ...protocol.ids import Id
from ...store.blobs import Blob, Blobs
from ..requests import Requests
from ..sessions import HubSession

__all__ = ["Unopened"]

_NOT_OPENED = "it did not open the exchange again after the hub restarted"


class Unopened:
    """The waiting arrivals that have no channel.

    :param blobs: the data of exchanges.
    :param report: called with each sentence for the log.
    """

    def __init__(self, requests: Requests, blobs: Blobs, report: Callable[[str], None]) -> None:
        self._requests = requests
        self._blobs = blobs
        self._report = report
        self._all: dict[tuple[str, str], tuple[Client, Blob | None]] = {}  # bound: waits.WAITS
        """(host, arrival id) to the client, and to the part of its data that was received before the restart."""
        self._due: dict[str, asyncio.TimerHandle] = {}  # bound: limits.SESSIONS, options
        """The sessions that have continued, each with the timer that ends its time for the new channels."""
        requests.on_continued = self._continued
        requests.on_session_over = lambda session: self._end(session.id)

    def __iter__(self) -> Iterator[Client]:
        return (client for client, _ in self._all.values())

    def restore(self) -> None:
        """Find the data that an earlier hub has stored, and the arrivals that wait."""
        services, memory = self._requests.services, self._requests.memory
        needed = services.exchanges.data()
        partial: dict[tuple[str, str], Blob] = {}
        for number, row in list(memory.data.items()):
            key = row.host, row.arrival
            if number in needed:
                self._blobs.restore(number, row.size, complete=True)
            elif services.exchanges.is_open_arrival(*key):
                partial[key] = self._blobs.restore(number, row.size, complete=False)
            else:
                memory.drop_data(number)
        for client in services.waits_by_client():
            if Id.read(client.number).script.startswith("x"):
                for arrival in services.arrivals_of(client):
                    self._all[client.host, arrival] = client, partial.get((client.host, arrival))
                    self._requests.on_outcome[client.host, arrival] = self._over
        lost = needed - memory.data.keys()
        why = "an earlier version of the hub did not store it"
        self._requests.tell(services.exchanges.data_lost(lost, why, self._requests.now()))

    def take(self, key: tuple[str, str]) -> Blob | None:
        """Remove an arrival, because its client has opened another channel. Return the data that was received before, if any."""
        _, partial = self._all.pop(key, (None, None))
        return partial

    def _over(self, outcome: Outcome) -> None:
        """Handle the end of an arrival that has no channel yet."""
        key = outcome.client.host, outcome.arrival
        del self._requests.on_outcome[key]
        partial = self.take(key)
        if partial is not None:
            self._blobs.drop(partial.number)

    def _continued(self, session: HubSession) -> None:
        """Start the timer of a session that has continued, because its peer now opens its channels again."""
        time = max(self._requests.lease, LEASE)
        self._due[session.id] = asyncio.get_running_loop().call_later(time, self._end, session.id)

    def _end(self, session: str) -> None:
        """Remove the clients of a session that have not opened their channels again."""
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
