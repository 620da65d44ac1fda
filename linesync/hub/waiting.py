"""The requests that wait for an outcome of the model, and their sessions."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LinesyncFailed
from ..model.participants import Client
from .sessions import HubSession

__all__ = ["Waiting"]

_REPEATS = 16  # most requests that repeat one arrival and wait for its outcome


class Waiting:
    """The requests that wait, by their arrival: the first request and its retries wait for one outcome."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], list[tuple[HubSession, str]]] = {}  # bound: waits.WAITS, waiting._REPEATS
        """(host, arrival) to the requests: their sessions and numbers."""

    def __len__(self) -> int:
        """The number of arrivals with requests that wait."""
        return len(self._asked)

    def add(self, session: HubSession, number: str, client: Client, arrival: str) -> None:
        """A request waits from now on. If its session can continue in another life of the hub, the hub keeps the request.

        :raises LinesyncFailed: too many requests repeat the arrival.
        """
        asked = self._asked.setdefault((client.host, arrival), [])
        if len(asked) >= _REPEATS:
            raise LinesyncFailed(
                f"{_REPEATS} requests with the arrival id {arrival} wait already; wait for their outcome, or use another id"
            )
        asked.append((session, number))
        if session.keeping:
            session.kept.opened(number, arrival)

    def restore(self, session: HubSession) -> None:
        """The requests of a session from an earlier life of the hub wait again."""
        host = session.client("").host
        for number, arrival in session.kept.open.items():
            self._asked.setdefault((host, arrival), []).append((session, number))

    def remove(self, session: HubSession, number: str, client: Client, arrival: str) -> None:
        """The model did not accept a request, so it does not wait."""
        key = client.host, arrival
        asked = self._asked[key]
        asked.remove((session, number))
        if not asked:
            del self._asked[key]

    def take(self, client: Client, arrival: str) -> list[tuple[HubSession, str]]:
        """Remove the requests that wait for an outcome, because it is decided."""
        return self._asked.pop((client.host, arrival), [])

    def forget(self, gone: Callable[[HubSession, str], bool]) -> None:
        """Forget the requests whose replies are no longer needed."""
        for asked in self._asked.values():
            for session, number in asked:
                if gone(session, number):
                    session.kept.closed(number)
        left = {key: [one for one in asked if not gone(*one)] for key, asked in self._asked.items()}
        self._asked = {key: asked for key, asked in left.items() if asked}
