"""What a serial line shows when there is no linesync at its other end, told in one sentence each.

A pure detector: it is given what came beside frames, and asked now and then. A frame of a session clears it; each kind
of trouble is told once until then.

1. *Garbage*: many bytes that are neither frames nor text. The two ends have different baud rates, almost always.
2. *Echo*: our own calls come back. The far tty is in cooked mode and nobody reads it, or the cable is a loop.
3. *Login*: a prompt. A getty runs on the port.
4. *Text*: anything else that is text: a shell, a boot loader, a kernel that panicked.
5. *Silence*, told by the end that calls: nothing at all.
"""

from __future__ import annotations

import re

__all__ = ["Symptoms"]

_GARBAGE_LEAST = 40  # bytes that are no text before anything is said of them
_GARBAGE_SHARE = 0.3  # of all that came
_WAIT = 3.0  # seconds without a frame before a prompt or echo is worth a word
_TEXT_WAIT = 12.0  # the same for other text: a kernel that boots will have an agent yet
_SILENCE = 5.0  # seconds without a byte, for the end that calls
_QUIET = 10.0  # seconds after the last frame of a session in which nothing is said: its own keepalives are rarer
_KEPT = 200  # bytes at the end of the text, where a prompt stands
_PLAIN = bytes([7, 8, 9, 10, 12, 13, 27, *range(32, 127)])
_LOGIN = re.compile(rb"(login|user ?name|password) ?: ?$|(login|password): ", re.IGNORECASE)


class Symptoms:
    """The detector of one line. Times are monotonic seconds.

    :param calls: this end is the one that calls (an agent).
    :param baud: this end's, bits a second, None where it has none.
    """

    def __init__(self, *, calls: bool, endpoint: str, baud: int | None, now: float) -> None:
        self._calls = calls
        self._endpoint = endpoint
        self._baud = baud
        self.sentence = ""
        """What is wrong, as far as we can tell; empty while nothing is."""
        self._told: set[str] = set()
        self._heard_at = float("-inf")
        self._echo = 0
        self._clear(now)

    def _clear(self, now: float) -> None:
        self.sentence = ""
        self._told.clear()
        self._since = now
        self._bytes = 0
        self._strange = 0
        self._text = b""

    def heard(self, data: bytes) -> None:
        """Bytes came that are no frame."""
        self._bytes += len(data)
        self._strange += len(data.translate(None, _PLAIN))
        self._text = (self._text + data)[-_KEPT:]

    def look(self, now: float, *, heard_at: float, echo: int) -> str:
        """Say what is wrong, once for each kind; empty for nothing new.

        :param heard_at: when the last frame of a session came.
        :param echo: bytes of our own frames that came back, all in all.
        """
        if heard_at != self._heard_at or heard_at > now - _QUIET:
            self._heard_at, self._echo = heard_at, echo
            self._clear(now)
            return ""
        kind, sentence = self._diagnosis(now - self._since, echoed=echo != self._echo)
        if not kind or kind in self._told:
            return ""
        self._told.add(kind)
        self.sentence = sentence
        return sentence

    def _diagnosis(self, waited: float, *, echoed: bool) -> tuple[str, str]:
        other = "hub" if self._calls else "agent"
        if self._strange >= _GARBAGE_LEAST and self._strange > _GARBAGE_SHARE * self._bytes:
            rate = f"this end is at {self._baud}" if self._baud else "see what this end is at"
            return "garbage", (
                f"bytes arrive on {self._endpoint} that are neither frames nor text; the two ends have different baud"
                f" rates, most likely ({rate}): give both the same, as in --port {_example(self._endpoint)}"
            )
        if waited < _WAIT:
            return "", ""
        if _LOGIN.search(self._text):
            return "login", (
                f"a login prompt is at the other end of {self._endpoint}, not a linesync {other}: on that machine run"
                f" 'systemctl mask --now serial-getty@ttyS0' (with its port's name) and start 'linesync {other}'"
            )
        if echoed:
            return "echo", (
                f"our own bytes come back on {self._endpoint} and no linesync {other} answers: a plain terminal or a"
                f" loop is at the other end; start 'linesync {other}' there, or 'stty raw -echo' on its port"
            )
        if waited >= _TEXT_WAIT and self._bytes > self._strange:
            return "text", (
                f"text arrives on {self._endpoint} and no linesync {other} answers; see it with 'linesync console' on"
                f" the hub, and start 'linesync {other}' at the other end"
            )
        if self._calls and waited >= _SILENCE:
            rate = f" at {self._baud} baud" if self._baud else ""
            return "silence", (
                f"nothing answers on {self._endpoint}{rate}: check that 'linesync hub' runs at the other end on the right"
                " port, and that the cable is a null modem"
            )
        return "", ""


def _example(endpoint: str) -> str:
    return f"{endpoint.partition(',')[0]},115200"
