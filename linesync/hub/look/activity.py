"""The requests ``activity`` of the hub: it asks a host whether it is alive, and which of its clients may act.

The model needs the answers before it reports a deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ... import protocol
from ...errors import LinesyncError
from ...model.participants import HUB
from ...model.sync.deadlock import Activity
from ..sessions import HubSession, Sessions

__all__ = ["Questions"]


class Questions:
    """Asks hosts which of their clients may act, and answers the same question for the controller.

    :param commands: returns the number of commands that run on the controller.
    :param answered: is called with each host that has answered, and its answer.
    """

    def __init__(
        self, sessions: Sessions, commands: Callable[[], int], answered: Callable[[str, Activity], None]
    ) -> None:
        self._sessions = sessions
        self._commands = commands
        self._answered = answered
        self._loop = asyncio.get_running_loop()

    def ask(self, host: str) -> None:
        """Ask a host whether it is alive, and which of its clients may act."""
        if host == HUB:
            # Answer later, because the caller of this function has not finished.
            self._loop.call_soon(self._answered, host, self._of_the_hub())
            return
        session = self._sessions.host(host)
        # Do not repeat an unanswered question, because the session delivers it as soon as the line works.
        if session is not None and session.peer.up and not session.questioned:
            session.questioned = True
            question = protocol.encode(protocol.Activity())
            session.peer.ask(question, lambda reply: self._take(session, host, reply))

    def _of_the_hub(self) -> Activity:
        scripts = [session for session in self._sessions.all() if not session.host]
        return Activity(
            self._commands(),
            frozenset(session.id for session in scripts if session.concurrent or not session.exchanges),
            frozenset(session.id for session in scripts if session.concurrent),
        )

    def _take(self, session: HubSession, host: str, reply: str | LinesyncError) -> None:
        session.questioned = False
        if isinstance(reply, LinesyncError):
            return
        try:
            commands, *scripts = protocol.read_reply(reply)
            numbers = [session.client(script.rstrip("*")).number for script in scripts]
            concurrent = {number for number, script in zip(numbers, scripts, strict=True) if script.endswith("*")}
            activity = Activity(int(commands), frozenset(numbers), frozenset(concurrent))
        except (LinesyncError, ValueError):
            activity = Activity(commands=1)  # an older agent: the host is alive, and any of its clients may act
        self._answered(host, activity)
