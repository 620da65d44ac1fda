"""Checks whether the sender of a message may send it, and whether the policy allows it, before the hub handles the message."""

from __future__ import annotations

import re

from ... import protocol
from ...errors import LinesyncError, LinesyncFailed, NotAllowed, UsageError
from ...jobs.serve import addressee
from ...model.participants import HUB
from ...model.policy import Policy, Socket
from ...model.state.principal import Principal
from ...protocol import Message, operations
from ...protocol.addresses import read_address
from ...protocol.ids import Id
from ...runtime.listening.reports import Report
from ..sessions import HubSession
from .audit import Audit

__all__ = ["Checks"]

_OF_THE_HUB = re.compile(r"[0-9]+/.*")
"""The form of the arrival ids that the hub makes: the number of the session, a slash, and the request id."""
_RECORDED = frozenset((operations.RUN, operations.FILES, operations.FORWARD, operations.CONSOLE, operations.ADMIN))
"""The permissions whose operations are in the audit log."""
_DETAILS = ("argv", "path", "paths", "names", "address", "number", "signal")
"""The fields of messages that the audit log repeats."""


class Checks:
    """Refuses messages, and logs the refusals.

    :param report: is called with each sentence for the log.
    :param policy: the rules of the hub.
    :param audit: records each operation on a host.
    """

    def __init__(self, report: Report, policy: Policy, audit: Audit | None) -> None:
        self.policy = policy
        self._report = report
        self._audit = audit

    def check(self, session: HubSession, script: str, message: Message) -> None:
        """Refuse a message for which the sender has no permission, or which this kind of sender never sends. Log the refusal.

        :param script: the number of the script that sent the message through its agent; empty for the peer itself.
        :raises NotAllowed: the message is not allowed; the error contains the reason.
        :raises LinesyncFailed: the hub has no place for another script.
        :raises UsageError: the message names an arrival or a request of another client.
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
        self._check_policy(session.principal(script), message)
        session.acted = True

    def _check_policy(self, principal: Principal, message: Message) -> None:
        permission, to = operations.operation(message).permission, _target(message)
        try:
            self.policy.check(principal, permission, to, _socket(message))
        except NotAllowed as error:
            self._record(principal, message, to, "refused", why=error.message)
            raise
        self._record(principal, message, to, "allowed")

    def _record(self, principal: Principal, message: Message, to: str, result: str, **more: object) -> None:
        """Add an operation on a host to the audit log."""
        if self._audit is not None and operations.operation(message).permission in _RECORDED:
            self._audit.record(principal, message.VERB, to, result, **_details(message), **more)

    def refused(self, session: HubSession, script: str, message: Message, error: LinesyncError) -> None:
        """Log a refused message with its sender."""
        if not session.refusal:  # such a refusal was logged once for the session
            sender = session.principal(script)
            self._report(f"refused '{message.VERB}' from {sender}: {error.message}", peer=session.endpoint)


def _target(message: Message) -> str:
    """The host on which a message works; the hub if the message names a port or no host."""
    if isinstance(message, protocol.ConsoleOpen | protocol.TraceOpen):
        return message.host if "/" not in message.host else HUB  # a port belongs to the hub
    return addressee(message) or HUB


def _socket(message: Message) -> Socket | None:
    """The socket of a forward; None for other operations.

    :raises UsageError: its address is not in the normal form, which the rules of the policy need.
    """
    if not isinstance(message, protocol.Connect | protocol.Listen):
        return None
    return Socket(str(read_address(message.address)), isinstance(message, protocol.Listen))


def _details(message: Message) -> dict[str, object]:
    """The fields of a message that the audit log has, too."""
    return {name: value for name in _DETAILS if (value := getattr(message, name, None)) is not None}


def _check_register(session: HubSession, message: protocol.Register) -> None:
    """Refuse a registration that is not the first request of its session."""
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
    """Refuse a ``continue`` that is not the first request of its session."""
    if session.host or session.acted:
        raise NotAllowed("'continue' is not allowed here: it comes before all other requests of a session")


def _check_named(script: str, message: Message) -> None:
    """Refuse a message that names a request or an arrival of another client.

    :param script: the number of the script that sent the message through its agent; empty for a message of the peer itself.
        An agent may name the requests of all its scripts.
    """
    named = getattr(message, "arrival", "")
    if named and _OF_THE_HUB.fullmatch(named):
        raise UsageError(
            f"invalid arrival id '{named}': ids of digits and a slash belong to the hub; choose another id"
        )
    request = getattr(message, "request", "")
    if script and request and Id.read(request).script != script:
        raise NotAllowed(f"request {request} belongs to another client; name a request of this client")
