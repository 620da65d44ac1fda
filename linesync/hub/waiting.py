"""The requests that wait for an outcome of the model, and their sessions."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LinesyncFailed
from ..model.participants import Client
from .sessions import HubSession

__all__ = ["Waiting"]

_REPEATS = 16  # the most requests that wait for the outcome of one arrival


class Waiting:
    """The waiting requests, by arrival. The first request of an arrival and its retries wait for the same outcome."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], list[tuple[HubSession, str]]] = {}  # bound: waits.WAITS, waiting._REPEATS
        """For each (host, arrival id), the waiting requests: their sessions and request ids."""

    def __len__(self) -> int:
        """The number of arrivals with waiting requests."""
        return len(self._requests)

    def add(self, session: HubSession, number: str, client: Client, arrival: str) -> None:
        """Add a waiting request. If its session can continue after a restart of the hub, the hub stores the request.

        :raises LinesyncFailed: too many requests of the arrival wait.
        """
        requests = self._requests.setdefault((client.host, arrival), [])
        if len(requests) >= _REPEATS:
            raise LinesyncFailed(
                f"{_REPEATS} requests with the arrival id {arrival} wait already; wait for their outcome, or use another id"
            )
        requests.append((session, number))
        if session.keeping:
            session.kept.opened(number, arrival)

    def restore(self, session: HubSession) -> None:
        """Add the stored requests of a session, after a restart of the hub."""
        host = session.client("").host
        for number, arrival in session.kept.open.items():
            self._requests.setdefault((host, arrival), []).append((session, number))

    def remove(self, session: HubSession, number: str, client: Client, arrival: str) -> None:
        """Remove a request that the model has not accepted."""
        key = client.host, arrival
        requests = self._requests[key]
        requests.remove((session, number))
        if not requests:
            del self._requests[key]

    def take(self, client: Client, arrival: str) -> list[tuple[HubSession, str]]:
        """Remove and return the requests of an arrival, because its outcome is decided."""
        return self._requests.pop((client.host, arrival), [])

    def forget(self, gone: Callable[[HubSession, str], bool]) -> None:
        """Remove the requests whose replies are no longer needed.

        :param gone: returns whether the reply to a request is no longer needed.
        """
        for requests in self._requests.values():
            for session, number in requests:
                if gone(session, number):
                    session.kept.closed(number)
        remaining = {
            key: [request for request in requests if not gone(*request)] for key, requests in self._requests.items()
        }
        self._requests = {key: requests for key, requests in remaining.items() if requests}
