"""Saying hello: how often a caller calls, and the hellos that wait to be said."""

from __future__ import annotations

from ... import limits
from ..framing.frames import Hello
from .handshake import Handshake

__all__ = ["HelloTimer"]

_ANSWERS = 2  # that may wait at the same time: a flood of hellos is not answered one by one


class HelloTimer:
    """One end's hellos; the handshake says what stands in them."""

    __slots__ = ("_calls", "_handshake", "due", "hellos")

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._calls = 0  # since it began to call
        self.due: float | None = None
        """When to call next, monotonic seconds; None while there is no reason to."""
        self.hellos: list[Hello] = []
        """They wait to be said."""

    def begin(self, due: float) -> None:
        """Call from then on, at first often. A listener never calls."""
        if self._handshake.local.role == "c":
            self.due, self._calls = due, 0

    def answer(self, hello: Hello) -> None:
        if len(self.hellos) < _ANSWERS:
            self.hellos.append(self._handshake.hello(hello))

    def handle_timer(self, now: float, *, again: bool) -> None:
        """Say hello if it is time.

        :param again: a session stands, which lost its line.
        """
        if self.due is None or now < self.due:
            return
        if not self.hellos:
            self.hellos.append(self._handshake.hello())
        self._calls += 1
        fast = limits.CALL_AGAIN if again else limits.CALL_FAST
        enough = limits.CALL_FAST * limits.CALL_FAST_COUNT
        self.due = now + (fast if round(self._calls * fast, 3) < enough else limits.CALL_SLOW)
