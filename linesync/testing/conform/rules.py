"""The rules of a test of an endpoint, and their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...frozen_record import Record

if TYPE_CHECKING:
    from .station import Station

__all__ = ["BOTH", "CALLER", "FAILED", "LISTENER", "MUST", "PASSED", "SHOULD", "SKIPPED", "Failed", "Result", "Rule"]
__all__ += ["RuleList", "Skipped"]

MUST, SHOULD = "MUST", "SHOULD"
CALLER, LISTENER, BOTH = "caller", "listener", "both"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Failed(Exception):
    """The endpoint breaks the rule. The message is one sentence."""


class Skipped(Exception):
    """The rule cannot be checked on this endpoint or line. The message is the reason."""


class Rule(Record):
    """One rule of docs/protocol.md."""

    id: str
    """The name of the rule for programs: lower-case words, joined by ``-``."""
    section: str
    """The sections of docs/protocol.md that contain the rule."""
    level: str
    """``MUST`` or ``SHOULD``."""
    does: str
    """The actions of the tester and the expected behaviour, as a clause."""
    roles: str
    """The role of the endpoints that the rule concerns: ``caller``, ``listener`` or ``both``."""
    check: Callable[[Station], None] | None
    """The check; None for a rule that the tester watches during all checks."""

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "section": self.section, "level": self.level, "does": self.does}


class Result(Record):
    """The result of one rule."""

    rule: Rule
    outcome: str
    """``passed``, ``failed`` or ``skipped``."""
    reason: str = ""
    """Why the rule failed or was skipped, as a sentence."""
    observed: str = ""
    """The last bytes that the endpoint sent before the rule failed, with escapes."""

    def as_json(self) -> dict[str, Any]:
        out = self.rule.as_json() | {"result": self.outcome}
        if self.reason:
            out["reason"] = self.reason
        if self.outcome == FAILED:
            out["observed"] = self.observed
        return out


class RuleList:
    """The rules of a module, in the order of their definition."""

    def __init__(self, roles: str) -> None:
        self.rules: list[Rule] = []
        self._roles = roles

    def add(
        self, id: str, section: str, does: str, *, level: str = MUST
    ) -> Callable[[Callable[[Station], None]], Callable[[Station], None]]:
        """A decorator that adds a check as a rule."""

        def decorate(check: Callable[[Station], None]) -> Callable[[Station], None]:
            self.rules.append(Rule(id, section, level, does, self._roles, check))
            return check

        return decorate
