"""The checks of a message before the hub handles it: whether its sender may send it."""

from __future__ import annotations

import re

from .. import protocol
from ..errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ..model.policy import Policy
from ..protocol import Message, operations
from ..protocol.ids import Id
from ..runtime.listening.reports import Report
from .sessions import HubSession

__all__ = ["Checks"]

_OF_THE_HUB = re.compile(r"[0-9]+/.*")
"""The ids of arrivals that the hub names itself: the session, and the request."""


class Checks:
    """Refuses messages, and reports that.

    :param report: is called with each sentence for the log.
    :param policy: the rules of the hub; by default, everything is allowed.
    """

    def __init__(self, report: Report, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self._report = report

    def check(self, session: HubSession, script: str, message: Message) -> None:
        """Refuse a message that its sender may not send or has no permission for, and report that.

        :param script: the number of the script behind an agent; empty for the peer itself.
        :raises NotAllowed: with the reason.
        :raises LinesyncFailed: the hub has no place for another script.
        :raises UsageError: it names something of another client.
        """
        try:
            if isinstance(message, protocol.Register) and not script:
                _check_register(session, message)
            elif isinstance(message, protocol.Continue) and not script:
                _check_continue(session)
            else:
                self._check(session, script, message)
        except LinesyncError as error:
            self.refused(session, script, message, error)
            raise

    def _check(self, session: HubSession, script: str, message: Message) -> None:
        if script and not session.host:
            raise NotAllowed("this agent has not registered with the hub; see its log for the reason")
        if session.refusal and not session.host:
            raise LinesyncFailed(session.refusal)
        operations.check_sender(message, session.sender(script))
        _check_named(script, message)
        if self.policy:
            permission = operations.operation(message).permission
            self.policy.check(session.principal(script), permission, message.VERB)
        session.acted = True

    def refused(self, session: HubSession, script: str, message: Message, error: LinesyncError) -> None:
        """Report a message that was refused, with its sender."""
        if not session.refusal:  # that was reported once for the session
            sender = session.principal(script)
            self._report(f"refused '{message.VERB}' from {sender}: {error.message}", peer=session.endpoint)


def _check_register(session: HubSession, message: protocol.Register) -> None:
    """A session registers one name, before anything else and only once."""
    if session.host:
        raise NotAllowed(
            f"this session has registered the host {session.host} already; it cannot register {message.name} too, so"
            " start another agent for that host"
        )
    if session.acted:
        raise NotAllowed(
            f"this session has made requests as a script, so it cannot register the host {message.name}; start an agent"
            " for that host"
        )


def _check_continue(session: HubSession) -> None:
    """Only the first request of a session continues another one."""
    if session.host or session.acted:
        raise NotAllowed("'continue' is not allowed here: it comes before all other requests of a session")


def _check_named(script: str, message: Message) -> None:
    """Refuse a message that names a request or an arrival of another client.

    :param script: the number of the script behind an agent that sent it. An agent speaks for all of its scripts.
    """
    named = getattr(message, "arrival", "")
    if named and _OF_THE_HUB.fullmatch(named):
        raise UsageError(
            f"invalid arrival id '{named}': ids of digits and a slash belong to the hub; choose another one"
        )
    request = getattr(message, "request", "")
    if script and request and Id.read(request).script != script:
        raise NotAllowed(f"request {request} belongs to another client; name a request of your own")
