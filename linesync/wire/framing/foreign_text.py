"""Taking a frame out of what foreign text has done to it.

The kernel prints whole lines, whenever it likes, also into the middle of a frame. Because a frame tells its own length,
the place of the foreign text follows from where the whole thing ends:

1. The frame ends at a line end, and so does the foreign text inside it.
2. What stands between the start and the frame's own line end is longer than the frame by just the foreign text.
3. So for each earlier line end there is one place where the foreign text can begin, and one check to make.
4. Two texts in one frame share its excess between them in as many ways as it has bytes. That many checks would sooner
   or later take noise for a frame, so they are made only where a second check guards the frame.

A good copy that comes later does the same for pieces that were beyond this: what the damaged piece has and the good one
has not is foreign.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ... import limits
from .digits import ALPHABET

__all__ = ["Splicer", "Verdict", "difference"]

# A run of blanks is walked from its first blank only: from each of them it would take the square of its length.
_LINE_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r(?!\Z))")  # a carriage return at the end may be half a line end
_OWN_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r)\Z")
_CHECK_FRONT = re.compile(rb"[A-Za-z0-9_-]{0,%d}" % limits.CHECK_SIZE)
_FRAGMENT = re.compile(rb"\^[A-Za-z0-9_-]*")


class Verdict:
    """What a :class:`Splicer` found."""

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
        """The frame without its start and newline, or None."""
        self.text_start, self.text_end = span
        """Where the foreign text stands in the input."""
        self.second = second
        """Likewise of another text behind it; empty where there is none."""
        self.end = end
        """Offset after what this verdict used up."""
        self.hopeless = hopeless
        """No line end to come can make a frame of this."""


class Splicer:
    """Looks for a frame of ``total`` bytes (newline not counted) at the start of a piece, with foreign lines in it.

    The piece may grow between looks; each byte is looked at once.
    """

    __slots__ = ("_at", "_ends", "_seen", "_total", "_tries")

    def __init__(self, total: int, *, two_texts: bool = False) -> None:
        self._total = total
        self._tries = limits.FOREIGN_TRIES if two_texts else 0  # that may still be made for two texts
        self._ends: list[tuple[int, int]] = []  # of the lines so far: where the line end begins, and where it ends
        self._at = 0  # where the next line end may begin
        self._seen = 0

    def look(self, piece: bytes | bytearray, end: int, is_good: Callable[[bytes], bool]) -> Verdict:
        """Look at the piece up to an offset, which is never below that of the last look.

        :param is_good: says whether a candidate's check is right; called at most once for each pair of line ends.
        """
        while (match := _LINE_END.search(piece, self._at, end)) is not None:
            here, self._at = match.span()
            verdict = self._try(piece, here, self._at, is_good)
            if verdict is not None:
                return verdict
        at = end  # blanks and a carriage return at the end may belong to a line end that is still to come
        while at > self._seen and piece[at - 1] in b" \t\r":
            at -= 1
        if at > self._seen:
            self._at = max(self._at, at)
        self._seen = end
        return Verdict(end=end, hopeless=end > self._total + limits.FOREIGN_IN_FRAME)

    def _try(
        self, piece: bytes | bytearray, here: int, behind: int, is_good: Callable[[bytes], bool]
    ) -> Verdict | None:
        """A line end stands at ``here`` and the next line at ``behind``: is it the frame's own?"""
        extra = here - self._total
        if extra == 0 and not self._ends:  # behind a foreign line this may be the end of another one
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
        """The same with two texts, each with a line end before this one."""
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
    """Compare a damaged piece with the good copy of what it may have been, in one walk along both.

    Where the two part, the nearest place is looked for where eight bytes agree again: first a few bytes on, which is
    what flipped, lost and doubled bytes need, then as far as foreign text may reach. (A general comparison such as
    difflib's takes the square of the length, and its cube on a payload of zeros.)

    :returns: (share of the good copy that the piece holds, foreign text in it, bytes that are neither).
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
        if place is None:  # the piece goes its own way: only whole lines of words are surely text
            for line in damaged[d:].splitlines(keepends=True):
                line = _FRAGMENT.sub(b"", line, count=1)
                text += line if b" " in line.strip() and line[-1:] in b"\r\n" else b""
            noise += len(damaged) - d - len(text)
            break
        skipped, start, end = place[0] - g, d, place[1]
        if end - start - skipped < 4:  # flips keep the length; a few bytes more are a doubled byte, not a line of text
            noise += end - start
        else:
            while start and damaged[end - 1] not in b"\r\n" and damaged[start - 1] == damaged[end - 1]:
                start, end = start - 1, end - 1  # the same cut, further left: foreign text ends at a line end
            text += damaged[start:end]
        g, d = place
    foreign = _without_fragments(bytes(text))
    return same / max(len(good), 1), foreign if foreign.strip(b" \t\r\n") else b"", noise + len(text) - len(foreign)


def _agreeing(good: bytes, g: int, damaged: bytes, d: int) -> int:
    """How many bytes agree from these offsets on."""
    most = min(len(good) - g, len(damaged) - d)
    run = 0
    while run < most and good[g + run : g + run + 32] == damaged[d + run : d + run + 32]:
        run += 32
    run = min(run, most)
    while run < most and good[g + run] == damaged[d + run]:
        run += 1
    return run


def _meet(good: bytes, g: int, damaged: bytes, d: int) -> tuple[int, int] | None:
    """The nearest offsets in both from which eight bytes agree, or the end of the good copy when that is nearer."""
    for skip in range(1, 5):  # as many bytes harmed as there were
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
    """What a piece has beyond the text of its frame: the check, of which nothing is known, the newline, and foreign
    text around them or between: (that text, bytes of check and newline)."""
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
        return b"", len(rest)  # digits of the check, doubled
    if not text.endswith((b"\n", b"\r")):
        text = rest[front:]  # the newline is the text's own
    return text, len(rest) - len(text)


def _without_fragments(text: bytes) -> bytes:
    """Foreign text as found by comparing, without what is left in it of control frames that it was printed into."""
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
