"""The policy of a hub: rules that allow or deny operations to principals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..errors import NotAllowed
from .state.principal import Principal

__all__ = ["Policy", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy. The first rule that matches a request decides.

    :ivar allow: whether the rule allows the operation; otherwise it denies the operation.
    :ivar permission: a permission of :mod:`linesync.protocol.operations`, or a pattern (``*``).
    :ivar host: the host name of the principal, or a pattern.
    :ivar uid: the user id of the principal; None matches every user.
    """

    allow: bool
    permission: str = "*"
    host: str = "*"
    uid: int | None = None

    def matches(self, principal: Principal, permission: str) -> bool:
        """Whether the rule is about this principal and this permission."""
        return (
            fnmatchcase(permission, self.permission)
            and fnmatchcase(principal.host, self.host)
            and self.uid in (None, principal.uid)
        )


class Policy:
    """The rules of a hub, in order. If no rule matches, everything is allowed."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def __bool__(self) -> bool:
        """Whether there are rules."""
        return bool(self._rules)

    def check(self, principal: Principal, permission: str, operation: str) -> None:
        """Refuse an operation that the rules deny.

        :param permission: the permission that the operation needs; an empty text for an operation that is always allowed.
        :param operation: the name of the operation, for the message.
        :raises NotAllowed: a rule denies the operation.
        """
        if not permission:
            return
        rule = next((rule for rule in self._rules if rule.matches(principal, permission)), None)
        if rule is not None and not rule.allow:
            raise NotAllowed(
                f"'{operation}' is not allowed for {principal}: it needs the permission '{permission}', which the hub's policy "
                "denies; ask the person who runs the hub"
            )
