"""The policy of a hub: its rules, and its decision for each operation.

1. A rule that denies decides first. Otherwise, a rule that allows decides.
2. Without such a rule, every principal may use the synchronisation services and look at the state of the hub. The scripts of a
   host may do everything on their own host. Root and the user of the hub may do everything at the hub's socket.
3. Everything else is refused: for example, a script on a host under test may not run commands on the controller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import NotAllowed, UsageError
from .participants import HUB
from .state.decision import Decision
from .state.principal import Principal

__all__ = ["Policy", "Rule", "Socket", "asked_socket", "suggestion"]

_FOR_EVERYBODY = frozenset(("sync", "look"))
_OWN_HOST = frozenset(("run", "files", "forward", "console"))
"""The permissions that the scripts of a host have on their own host."""
_ACTIONS = {
    "sync": "use the synchronisation services",
    "look": "look at the state of the hub",
    "run": "run commands on {to}",
    "files": "copy files to or from {to}",
    "forward": "forward connections to {to}",
    "console": "use the console or the trace of {to}",
    "admin": "administer the hub",
}
"""Each permission of :mod:`linesync.protocol.operations` as a verb phrase."""
_SOCKET_ACTIONS = {False: "forward connections from {to} to {address}", True: "listen on {address} on {to}"}
"""The verb phrases for a forward to an address, and for a forward from a listening address."""


@dataclass(frozen=True, slots=True)
class Socket:
    """The socket of a forward on the host that the operation works on.

    :ivar address: its address, in the form of :func:`linesync.protocol.addresses.read_address`.
    :ivar listens: whether it listens; otherwise it connects to the address.
    """

    address: str
    listens: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    :ivar allow: whether it allows or denies.
    :ivar do: the permissions, or ``*`` for all.
    :ivar source: a pattern for the name of the principal's host.
    :ivar to: a pattern for the name of the host that the operation works on.
    :ivar users: the user ids of the principal at the hub's socket; None for every principal.
    :ivar connect: patterns for the addresses to which a forward may connect; None for a rule without this limit.
    :ivar listen: the same for the addresses on which a forward may listen. A rule with one of the two limits is only about
        forwards.
    :ivar text: the rule as the policy file has it, for messages.
    """

    allow: bool
    do: tuple[str, ...] = ("*",)
    source: str = "*"
    to: str = "*"
    users: frozenset[int] | None = None
    connect: tuple[str, ...] | None = None
    listen: tuple[str, ...] | None = None
    text: str = ""

    def fits(self, principal: Principal, permission: str, to: str, socket: Socket | None = None) -> bool:
        """Whether the rule is about this operation."""
        return (
            ("*" in self.do or permission in self.do)
            and fnmatchcase(principal.host, self.source)
            and fnmatchcase(to, self.to)
            and (self.users is None or principal.uid in self.users)
            and self._fits_socket(socket)
        )

    def _fits_socket(self, socket: Socket | None) -> bool:
        if self.connect is None and self.listen is None:
            return True
        patterns = () if socket is None else self.listen if socket.listens else self.connect
        return socket is not None and any(fnmatchcase(socket.address, pattern) for pattern in patterns or ())

    def __str__(self) -> str:
        return self.text or f"{'allow' if self.allow else 'deny'} {self.source} to do {', '.join(self.do)} on {self.to}"


_NEEDS_NONE = Decision(allowed=True, why="the operation needs no permission")
_EVERYBODY = Decision(allowed=True, why="everybody may do that unless a rule denies it")
_OWNER = Decision(allowed=True, why="root and the user of the hub may do everything at its socket")
_AT_OWN_HOST = Decision(allowed=True, why="the scripts of a host may do that on their own host")
_NO_RULE = Decision(allowed=False, why="no rule allows it")


class Policy:
    """The rules of a hub.

    :ivar rules: the rules in the order of the file.
    :ivar owners: the user ids that may do everything at the hub's socket.
    :ivar path: the file of the rules, for messages.
    """

    def __init__(self, rules: tuple[Rule, ...] = (), owners: frozenset[int] = frozenset((0,)), path: str = "") -> None:
        self.rules = rules
        self.owners = owners
        self.path = path
        self._by_precedence = sorted(rules, key=lambda rule: rule.allow)
        """The rules that deny, and then the rules that allow."""

    def decide(self, principal: Principal, permission: str, to: str = HUB, socket: Socket | None = None) -> Decision:
        """Decide about an operation.

        :param permission: the permission that the operation needs; empty if it needs none.
        :param to: the host that it works on.
        :param socket: the socket of a forward. Without it, rules with ``connect`` or ``listen`` are ignored.
        """
        if not permission:
            return _NEEDS_NONE
        for rule in self._by_precedence:
            if rule.fits(principal, permission, to, socket):
                return Decision(
                    allowed=rule.allow, why=f"the rule {rule} {'allows' if rule.allow else 'denies'} it", rule=str(rule)
                )
        if permission in _FOR_EVERYBODY:
            return _EVERYBODY
        if principal.host == HUB and principal.uid in self.owners:
            return _OWNER
        if principal.host == to and to != HUB and permission in _OWN_HOST:
            return _AT_OWN_HOST
        return _NO_RULE

    def check(self, principal: Principal, permission: str, to: str = HUB, socket: Socket | None = None) -> None:
        """Refuse an operation that is not allowed. The parameters are those of :meth:`decide`.

        :raises NotAllowed: with the rule that denies it, or the rule that would allow it.
        """
        decision = self.decide(principal, permission, to, socket)
        if decision.allowed:
            return
        user = f" (user id {principal.uid})" if principal.uid is not None else ""
        where = self.path or "the hub's policy file"
        advice = (
            f"change {where}"
            if decision.rule
            else f"to allow it, add this to {where} on the controller: {suggestion(principal, permission, to, socket)}"
        )
        action = _ACTIONS[permission] if socket is None else _SOCKET_ACTIONS[socket.listens]
        asked = action.format(to=to, address=socket.address if socket is not None else "")
        raise NotAllowed(
            f"not allowed: a script on {principal.host}{user} may not {asked}, because {decision.why}; {advice}",
            details={"permission": permission, "from": principal.host, "to": to, "rule": decision.rule},
        )


def asked_socket(connect: str, listen: str) -> Socket | None:
    """The socket in a question about the policy: the address to connect to or to listen on, of which one is empty.

    :raises UsageError: both have a value.
    """
    if connect and listen:
        raise UsageError("a question about the policy has one address; ask for 'connect' and for 'listen' separately")
    return Socket(connect or listen, bool(listen)) if connect or listen else None


def suggestion(principal: Principal, permission: str, to: str, socket: Socket | None = None) -> str:
    """The line of a policy file that would allow an operation."""
    users = f", users = [{principal.uid}]" if principal.uid is not None else ""
    limit = ""
    if socket is not None:
        address = re.sub(r"([*?[])", r"[\1]", socket.address)  # these characters are patterns
        limit = f', {"listen" if socket.listens else "connect"} = ["{address}"]'
    return f'allow = [{{from = "{principal.host}"{users}, to = "{to}", do = ["{permission}"]{limit}}}]'
