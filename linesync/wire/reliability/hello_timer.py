"""The hello timer: when a caller sends its hellos, and which hellos wait to be sent (section 4.2 of docs/protocol.md)."""

from __future__ import annotations

from ... import limits
from ..framing.frames import Hello
from .handshake import Handshake

__all__ = ["HelloTimer"]

_ANSWERS = 2  # the most that wait at one time: a flood of hellos is not answered one by one


class HelloTimer:
    """The hellos of one end; the handshake fills them in."""

    __slots__ = ("_calls", "_handshake", "due", "hellos")

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._calls = 0  # since the start
        self.due: float | None = None
        """The time of the next call, monotonic seconds, or None."""
        self.hellos: list[Hello] = []  # bound: hello_timer._ANSWERS
        """The hellos that wait to be sent."""

    def start(self, due: float) -> None:
        """Call from that time on, first at short intervals. A listener never calls."""
        if self._handshake.local.role == "c":
            self.due, self._calls = due, 0

    def answer(self, hello: Hello) -> None:
        """Queue an answer to a hello."""
        if len(self.hellos) < _ANSWERS:
            self.hellos.append(self._handshake.hello(hello))

    def handle_timer(self, now: float, *, again: bool) -> None:
        """Queue a hello if it is due.

        :param again: there is a session, which lost its line.
        """
        if self.due is None or now < self.due:
            return
        if not self.hellos:
            self.hellos.append(self._handshake.hello())
        self._calls += 1
        fast = limits.CALL_AGAIN if again else limits.CALL_FAST
        enough = limits.CALL_FAST * limits.CALL_FAST_COUNT
        self.due = now + (fast if round(self._calls * fast, 3) < enough else limits.CALL_SLOW)
