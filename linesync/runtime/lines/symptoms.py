"""Recognises the reason why no linesync answers at the other end of a serial line, and describes it in one sentence.

This detector is pure. It gets the bytes outside frames, and its owner calls :meth:`Symptoms.check` from time to time. It
reports each symptom once. A frame of a session clears all symptoms.

1. *Garbage*: many bytes that are neither frames nor text. Usually the two ends have different baud rates.
2. *Login*: a login prompt. A getty runs on the port.
3. *Echo*: our own hellos come back. The tty at the other end is in cooked mode and no program reads it, or the cable is a
   loop.
4. *Text*: any other text, from a shell, a boot loader, or a kernel that panicked.
5. *Silence*: no bytes at all. Only the calling end reports it.
"""

from __future__ import annotations

import re

__all__ = ["Symptoms"]

_GARBAGE_LEAST = 40  # the least number of bytes that are not text, for a report of garbage
_GARBAGE_SHARE = 0.3  # the share of these bytes in all bytes above which garbage is reported
_WAIT = 3.0  # seconds without a frame before a prompt or an echo is reported
_TEXT_WAIT = 12.0  # the same for other text; longer, because a system that boots may start an agent
_SILENCE = 5.0  # seconds without an answer before the calling end reports silence
_QUIET = 10.0  # seconds after the last frame of a session without reports; keepalives may be this far apart
_KEPT = 200  # the last bytes of the text that are kept, because a prompt is at the end
_PLAIN = bytes([7, 8, 9, 10, 12, 13, 27, *range(32, 127)])
_LOGIN = re.compile(rb"(login|user ?name|password) ?: ?$|(login|password): ", re.IGNORECASE)


class Symptoms:
    """The detector of one line. Times are monotonic seconds.

    :param calls: whether this end calls (an agent) or listens (a hub).
    :param endpoint: the line, for the sentences.
    :param baud: the baud rate of this end in bits per second; None if the line has no baud rate.
    :param now: the current time.
    """

    def __init__(self, *, calls: bool, endpoint: str, baud: int | None, now: float) -> None:
        self._calls = calls
        self._endpoint = endpoint
        self._baud = baud
        self.sentence = ""
        """The latest report; empty if there was none since the last frame."""
        self._reported: set[str] = set()  # bound: fixed
        self._heard_at = float("-inf")
        self._echo = 0
        self._clear(now)

    def _clear(self, now: float) -> None:
        self.sentence = ""
        self._reported.clear()
        self._since = now
        self._bytes = 0
        self._strange = 0
        self._text = b""

    def receive(self, data: bytes) -> None:
        """Handle bytes outside frames."""
        self._bytes += len(data)
        self._strange += len(data.translate(None, _PLAIN))
        self._text = (self._text + data)[-_KEPT:]

    def check(self, now: float, *, heard_at: float, echo: int) -> str:
        """A sentence about a new symptom; empty if there is no new symptom. Each kind of symptom is returned once.

        :param heard_at: the time of the last frame of a session.
        :param echo: the total number of bytes of our own frames that came back.
        """
        if heard_at != self._heard_at or heard_at > now - _QUIET:
            self._heard_at, self._echo = heard_at, echo
            self._clear(now)
            return ""
        kind, sentence = self._diagnosis(now - self._since, echoed=echo != self._echo)
        if not kind or kind in self._reported:
            return ""
        self._reported.add(kind)
        self.sentence = sentence
        return sentence

    def _diagnosis(self, waited: float, *, echoed: bool) -> tuple[str, str]:
        other = "hub" if self._calls else "agent"
        if self._strange >= _GARBAGE_LEAST and self._strange > _GARBAGE_SHARE * self._bytes:
            rate = f" (this end has {self._baud})" if self._baud else ""
            return "garbage", (
                f"bytes arrive on {self._endpoint} that are neither frames nor text; most likely, the two ends have"
                f" different baud rates{rate}: set the same rate at both, as in --port {_example(self._endpoint)}"
            )
        if waited < _WAIT:
            return "", ""
        if _LOGIN.search(self._text):
            return "login", (
                f"a login prompt is at the other end of {self._endpoint}, not a linesync {other}: on that machine, run"
                f" 'systemctl mask --now serial-getty@ttyS0' (with the name of its port) and start 'linesync {other}'"
            )
        if echoed:
            return "echo", (
                f"our own bytes come back on {self._endpoint} and no linesync {other} answers: the other end is a plain"
                f" terminal or a loop; start 'linesync {other}' there, or run 'stty raw -echo' on its port"
            )
        if waited >= _TEXT_WAIT and self._bytes > self._strange:
            return "text", (
                f"text arrives on {self._endpoint} and no linesync {other} answers; read it with 'linesync console' on"
                f" the hub, and start 'linesync {other}' at the other end"
            )
        if self._calls and waited >= _SILENCE:
            rate = f" at {self._baud} baud" if self._baud else ""
            return "silence", (
                f"nothing answers on {self._endpoint}{rate}: check that 'linesync hub' runs at the other end, that it uses"
                " the right port, and that the cable is a null modem"
            )
        return "", ""


def _example(endpoint: str) -> str:
    return f"{endpoint.partition(',')[0]},115200"
