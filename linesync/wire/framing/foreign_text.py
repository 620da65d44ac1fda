"""Separating a frame from foreign text that was printed into it (section 3.2 of docs/protocol.md).

A kernel prints whole lines at any time, even into the middle of a frame. A frame states its own length, so the position
of the foreign text follows from the position of the frame's end:

1. The frame ends at a line end, and so does the foreign text inside it.
2. The bytes from the start to the frame's own line end exceed the length of the frame by exactly the foreign text.
3. So for each earlier line end there is one place where the foreign text can begin, and one check to compute.
4. Two foreign texts can share the excess bytes in as many ways as there are excess bytes. So many checks would sooner or
   later accept noise as a frame. Therefore they are computed only for frames that have a second check.

For all other damaged pieces, the good copy that comes later does the same: bytes of the piece that are not in the good
copy are foreign text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ... import limits
from .digits import ALPHABET

__all__ = ["Splicer", "Verdict", "difference"]

# A run of blanks is matched from its first blank only; matching from each blank would take quadratic time.
# A carriage return at the end may be half of a line end.
_LINE_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r(?!\Z))")
_OWN_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r)\Z")
_CHECK_FRONT = re.compile(rb"[A-Za-z0-9_-]{0,%d}" % limits.CHECK_SIZE)
_FRAGMENT = re.compile(rb"\^[A-Za-z0-9_-]*")


class Verdict:
    """The result of a :class:`Splicer`."""

    __slots__ = ("end", "frame", "hopeless", "second", "text_end", "text_start")

    def __init__(
        self,
        *,
        frame: bytes | None = None,
        span: tuple[int, int] = (0, 0),
        second: tuple[int, int] = (0, 0),
        end: int = 0,
        hopeless: bool = False,
    ) -> None:
        self.frame = frame
        """The frame with its start and without its newline; None if there is none."""
        self.text_start, self.text_end = span
        """The span of the foreign text in the input."""
        self.second = second
        """The span of another foreign text behind it; empty if there is none."""
        self.end = end
        """The offset after the bytes that this verdict covers."""
        self.hopeless = hopeless
        """No further line end can complete a frame."""


class Splicer:
    """Searches the start of a piece for a frame of ``total`` bytes, without its newline, with foreign lines inside.

    The piece may grow between calls of :meth:`look`; each byte is examined once.

    :param two_texts: allow two foreign texts, because the frame has a second check.
    """

    __slots__ = ("_at", "_ends", "_seen", "_total", "_tries")

    def __init__(self, total: int, *, two_texts: bool = False) -> None:
        self._total = total
        self._tries = limits.FOREIGN_TRIES if two_texts else 0  # checks left for two texts
        self._ends: list[tuple[int, int]] = []  # the line ends so far: (offset, offset after it)
        self._at = 0  # where the next line end may begin
        self._seen = 0

    def look(self, piece: bytes | bytearray, end: int, is_good: Callable[[bytes], bool]) -> Verdict:
        """Examine the piece up to an offset, which never decreases from call to call.

        :param is_good: says whether the check of a candidate is right.
        """
        while (match := _LINE_END.search(piece, self._at, end)) is not None:
            here, self._at = match.span()
            verdict = self._try(piece, here, self._at, is_good)
            if verdict is not None:
                return verdict
        at = end  # blanks and a carriage return at the end may belong to an incomplete line end
        while at > self._seen and piece[at - 1] in b" \t\r":
            at -= 1
        if at > self._seen:
            self._at = max(self._at, at)
        self._seen = end
        return Verdict(end=end, hopeless=end > self._total + limits.FOREIGN_IN_FRAME)

    def _try(
        self, piece: bytes | bytearray, here: int, behind: int, is_good: Callable[[bytes], bool]
    ) -> Verdict | None:
        """Check whether a line end is the frame's own.

        :param here: its offset.
        :param behind: the offset after it.
        """
        extra = here - self._total
        if extra == 0 and not self._ends:  # after a foreign line this may be the end of another foreign line
            return Verdict(end=behind, hopeless=True)
        for _, after in self._ends if extra >= 0 else ():
            begin = after - extra
            if begin < 2:
                continue
            candidate = bytes(piece[:begin] + piece[after:here])
            if is_good(candidate):
                return Verdict(frame=candidate, span=(begin, after), end=behind)
        if 1 < extra <= self._tries:
            verdict = self._try_two(piece, here, behind, is_good)
            if verdict is not None:
                return verdict
        self._ends.append((here, behind))
        if len(self._ends) > limits.FOREIGN_LINES or extra > limits.FOREIGN_IN_FRAME:
            return Verdict(end=behind, hopeless=True)
        return None

    def _try_two(
        self, piece: bytes | bytearray, here: int, behind: int, is_good: Callable[[bytes], bool]
    ) -> Verdict | None:
        """The same for two foreign texts, each of which ends at an earlier line end."""
        extra = here - self._total
        for number, (_, first) in enumerate(self._ends):
            for _, second in self._ends[number + 1 :]:
                self._tries -= extra
                if self._tries < 0:
                    return None
                front, middle, back = bytes(piece[:first]), bytes(piece[first:second]), bytes(piece[second:here])
                for length in range(max(1, extra - len(middle)), min(extra, first - 1)):
                    candidate = front[: first - length] + middle[: len(middle) - (extra - length)] + back
                    if is_good(candidate):
                        spans = (first - length, first), (second - (extra - length), second)
                        return Verdict(frame=candidate, span=spans[0], second=spans[1], end=behind)
        return None


def difference(damaged: bytes, good: bytes) -> tuple[float, bytes, int]:
    """Compare a damaged piece with a good copy of the frame that it may have been, in one pass over both.

    Where they differ, the next place is searched where eight bytes agree again: first a few bytes ahead, which covers
    flipped, lost and doubled bytes, then as far as foreign text may reach. (A general comparison like that of difflib
    takes quadratic time, and cubic time on a payload of zeros.)

    :returns: (share of the good copy that the piece contains, foreign text in it, number of bytes that are neither).
    """
    text, noise, same = bytearray(), 0, 0
    g = d = 0
    while True:
        run = _agreeing(good, g, damaged, d)
        g, d, same = g + run, d + run, same + run
        if g == len(good):
            last, rest = _behind_check(damaged[d:])
            text += last
            noise += rest
            break
        place = _meet(good, g, damaged, d)
        if place is None:  # the rest has nothing in common: only whole lines with blanks are certainly text
            for line in damaged[d:].splitlines(keepends=True):
                line = _FRAGMENT.sub(b"", line, count=1)
                text += line if b" " in line.strip() and line[-1:] in b"\r\n" else b""
            noise += len(damaged) - d - len(text)
            break
        skipped, start, end = place[0] - g, d, place[1]
        if end - start - skipped < 4:  # flips keep the length; a few bytes more are doubled bytes, not a line
            noise += end - start
        else:
            while start and damaged[end - 1] not in b"\r\n" and damaged[start - 1] == damaged[end - 1]:
                start, end = start - 1, end - 1  # the same difference, further left: foreign text ends at a line end
            text += damaged[start:end]
        g, d = place
    foreign = _without_fragments(bytes(text))
    return same / max(len(good), 1), foreign if foreign.strip(b" \t\r\n") else b"", noise + len(text) - len(foreign)


def _agreeing(good: bytes, g: int, damaged: bytes, d: int) -> int:
    """The number of bytes that agree from these offsets on."""
    most = min(len(good) - g, len(damaged) - d)
    run = 0
    while run < most and good[g + run : g + run + 32] == damaged[d + run : d + run + 32]:
        run += 32
    run = min(run, most)
    while run < most and good[g + run] == damaged[d + run]:
        run += 1
    return run


def _meet(good: bytes, g: int, damaged: bytes, d: int) -> tuple[int, int] | None:
    """The nearest offsets from which eight bytes agree, or the end of the good copy if that is nearer; None for neither."""
    for skip in range(1, 5):  # damage that keeps the length
        anchor = good[g + skip : g + skip + 8]
        if len(anchor) < 8:
            behind_text = damaged.find(b"\n" + good[g:], d)
            if behind_text >= 0:
                return g, behind_text + 1
            return len(good), min(d + len(good) - g, len(damaged))
        if damaged.startswith(anchor, d + skip):
            return g + skip, d + skip
    for skips, reach in ((4, 4), (64, limits.FOREIGN_IN_FRAME + 64)):
        for skip in range(min(skips, len(good) - g - 8)):
            anchor = good[g + skip : g + skip + 8]
            at = damaged.find(anchor, d, d + reach + len(anchor))
            if at >= 0:
                return g + skip, at
    return None


def _behind_check(rest: bytes) -> tuple[bytes, int]:
    """Split the bytes of a piece behind the body of its frame: the check, whose value is not known here, the newline, and
    foreign text between or around them.

    :returns: (that foreign text, number of bytes of check and newline).
    """
    end = _OWN_END.search(rest)
    body = rest[: end.start()] if end else rest
    front = len(_CHECK_FRONT.match(body)[0])  # type: ignore[index]
    back = limits.CHECK_SIZE - front
    if back and body[-back:].translate(None, ALPHABET):
        back = 0
    if front + back >= len(body):
        return b"", len(rest)
    text = body[front : len(body) - back]
    if b" " not in text and b"\n" not in text and b"\r" not in text:
        return b"", len(rest)  # doubled digits of the check
    if not text.endswith((b"\n", b"\r")):
        text = rest[front:]  # the newline belongs to the text
    return text, len(rest) - len(text)


def _without_fragments(text: bytes) -> bytes:
    """Foreign text without the remains of control frames into which it was printed."""
    if b"^" not in text:
        return text
    out: list[bytes] = []
    cut = False
    for line in text.splitlines(keepends=True):
        head = _FRAGMENT.match(line)
        if head is not None:
            cut, line = True, line[head.end() :]
        elif cut and not line.strip(b" \t\r\n").translate(None, ALPHABET):
            cut, line = False, b""
        out.append(line)
    return b"".join(out)
