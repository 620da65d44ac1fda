"""The hello timer: the times of a caller's hellos, and the hellos that wait to be sent (section 4.2 of docs/protocol.md)."""

from __future__ import annotations

from ... import limits
from ..framing.frames import Hello
from .handshake import Handshake

__all__ = ["HelloTimer"]

_ANSWERS = 2  # the maximum number of waiting hellos, so that a flood of hellos gets only a few answers


class HelloTimer:
    """The waiting hellos of one end. The handshake makes their contents."""

    __slots__ = ("_calls", "_handshake", "due", "hellos")

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._calls = 0  # the number of calls since the start
        self.due: float | None = None
        """The time of the next call in monotonic seconds, or None."""
        self.hellos: list[Hello] = []  # bound: hello_timer._ANSWERS
        """The hellos that wait to be sent."""

    def start(self, due: float) -> None:
        """Call from this time on, first at short intervals. A listener never calls."""
        if self._handshake.local.role == "c":
            self.due, self._calls = due, 0

    def answer(self, hello: Hello) -> None:
        """Queue an answer to a hello."""
        if len(self.hellos) < _ANSWERS:
            self.hellos.append(self._handshake.hello(hello))

    def handle_timer(self, now: float, *, again: bool) -> None:
        """Queue a call if it is due.

        :param again: whether there is a session that has lost its line.
        """
        if self.due is None or now < self.due:
            return
        if not self.hellos:
            self.hellos.append(self._handshake.hello())
        self._calls += 1
        fast = limits.CALL_AGAIN if again else limits.CALL_FAST
        enough = limits.CALL_FAST * limits.CALL_FAST_COUNT
        self.due = now + (fast if round(self._calls * fast, 3) < enough else limits.CALL_SLOW)
