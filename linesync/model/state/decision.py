"""The answer of a hub's policy."""

from __future__ import annotations

from .record import State

__all__ = ["Decision"]


class Decision(State):
    """The answer of a hub's policy to the question whether a principal may do something."""

    allowed: bool
    """whether the operation is allowed"""
    why: str
    """the rule or the default that decides, as a clause"""
    rule: str = ""
    """the rule that decides, as text; empty if a default decides"""
