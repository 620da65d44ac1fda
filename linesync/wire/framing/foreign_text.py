"""Separating a frame from foreign text that was printed into it (section 3.2 of docs/protocol.md).

A kernel prints whole lines at any time, even into the middle of a frame. A frame states its own length, so the position
of the foreign text follows from the position of the frame's end:

1. The frame ends at a line end, and so does the foreign text inside it.
2. The bytes from the start to the frame's own line end exceed the length of the frame by exactly the foreign text.
3. So for each earlier line end there is one place where the foreign text can begin, and one check to compute.
4. Two foreign texts can share the excess bytes in as many ways as there are excess bytes. So many checks would sooner or
   later accept noise as a frame. Therefore they are computed only for frames that have a second check.

For all other damaged pieces, the good copy that comes later does the same:

5. If nothing else damaged the piece, each of its lines is a part of the frame, perhaps empty, and then foreign text up to
   the line end. :func:`whole_lines` finds such a division, for any number of texts at any distance. The frame may also stop
   at a foreign line.
6. Otherwise :func:`difference` compares both as well as it can.

A control frame is never sent again, and a host that panics sends nothing again. :func:`lines_beside` finds the foreign lines
in what is left of their frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ... import limits
from .digits import ALPHABET, read_counted
from .repair_budget import RepairBudget

__all__ = ["Splicer", "Verdict", "difference", "lines_beside", "whole_lines"]

# A run of blanks is matched from its first blank only; matching from each blank would take quadratic time.
# A carriage return at the end may be half of a line end.
_LINE_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r(?!\Z))")
_OWN_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r)\Z")
_CHECK_FRONT = re.compile(rb"[A-Za-z0-9_-]{0,%d}" % limits.CHECK_SIZE)
_FRAGMENT = re.compile(rb"\^[A-Za-z0-9_-]*")
_LEADING_FRAGMENT = re.compile(rb"\A([A-Za-z0-9_-]*)\^[A-Za-z0-9_-]*")
_DIGITS = re.compile(rb"\^?[A-Za-z0-9_-]*")
_EARLY_BLANK = re.compile(rb"[^ \r\n]{0,23} [^\r\n]")  # the rest of a damaged frame has none
_ONE_LINE = re.compile(rb"[^\r\n]*(?:\r+\n?|\n|\Z)")
_IDENTIFIES_FRAME = 24  # bytes of a frame that identify it
_TRY = 256  # the cost of a check besides that of its bytes, in the bytes that a check reads in the same time
_SEARCH = 16  # the cost of the search for line ends, for each byte
_DIVISIONS = 4000  # the most divisions of a piece that are tried, which takes a millisecond


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

    The piece may grow between calls of :meth:`look`.

    :param two_texts: allow two foreign texts, because the frame has a second check.
    :param budget: pays for the search; by default, a new one.
    """

    __slots__ = ("_at", "_budget", "_ends", "_seen", "_total", "_tries")

    def __init__(self, total: int, *, two_texts: bool = False, budget: RepairBudget | None = None) -> None:
        self._total = total
        self._budget = budget or RepairBudget()
        self._tries = limits.FOREIGN_TRIES if two_texts else 0  # checks left for two texts
        # bound: limits.FOREIGN_LINES
        self._ends: list[tuple[int, int]] = []  # the line ends so far: (offset, offset after it)
        self._at = 0  # where the next line end may begin
        self._seen = 0

    def look(self, piece: bytes | bytearray, end: int, is_good: Callable[[bytes], bool]) -> Verdict:
        """Examine the piece up to an offset, which never decreases from call to call.

        :param is_good: says whether the check of a candidate is right.
        """
        if not self._budget.spend(
            _SEARCH * max(end - self._at, 0)
        ):  # a run of blanks is searched in each call until it ends
            return Verdict(end=end, hopeless=True)
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
            if not self._budget.spend(self._total + _TRY):
                return Verdict(end=behind, hopeless=True)
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
                    if not self._budget.spend(self._total + _TRY):
                        return Verdict(end=behind, hopeless=True)
                    candidate = front[: first - length] + middle[: len(middle) - (extra - length)] + back
                    if is_good(candidate):
                        spans = (first - length, first), (second - (extra - length), second)
                        return Verdict(frame=candidate, span=spans[0], second=spans[1], end=behind)
        return None


def whole_lines(piece: bytes, good: bytes) -> bytes | None:
    """Remove foreign lines from a damaged copy of a frame.

    Each line of the piece is a part of the frame, and foreign text after it. The search tries the longest part first, because
    a foreign text rarely begins with the character that continues the frame. If it does, the later lines do not fit, and the
    search tries a shorter part.

    The sender may stop inside the frame, as a machine that stalls or panics does. The piece then ends with foreign text.

    :param piece: the damaged copy.
    :param good: the frame without its check, of which only the length is known.
    :returns: the foreign text; None if the piece is not the frame and whole lines.
    """
    lines = _lines(piece)
    total = len(good) + limits.CHECK_SIZE
    most = 2 * limits.FOREIGN_LINES + 1
    texts = _divide(lines, good, total, stops=False) if 1 < len(lines) <= most and len(piece) > total else None
    if texts is None:
        texts = _divide(lines[:most], good, total, stops=True)
        if texts is not None:
            texts += lines[most:]  # a panic has many lines
    return None if texts is None else b"".join(texts)


def _divide(lines: list[bytes], good: bytes, total: int, *, stops: bool) -> list[bytes] | None:
    """Divide lines into parts of a frame and foreign texts; return these, or None.

    :param total: the length of the frame.
    :param stops: the frame stops at the last of the foreign texts, each of which has an early blank. Otherwise it is complete.
    """
    tries = 0
    failed: set[tuple[int, int]] = set()

    def divide(number: int, at: int) -> list[bytes] | None:
        """The foreign texts from a line on, when the frame continues there at an offset."""
        nonlocal tries
        if number == len(lines):
            return [] if stops and at >= _IDENTIFIES_FRAME else None
        line = lines[number]
        longest = _continues(line, good, at)
        if not stops and at + longest == total and not line[longest:].strip(b" \t\r\n"):
            return lines[number + 1 :]
        if stops and _goes_on(line, longest, good, at + longest):
            return None
        for part in range(longest, -1, -1):
            tries += 1
            if tries > _DIVISIONS:
                return None
            if (number + 1, at + part) in failed or (stops and not _EARLY_BLANK.match(line, part)):
                continue
            rest = divide(number + 1, at + part)
            if rest is not None:
                return [line[part:], *rest]
            failed.add((number + 1, at + part))
        return None

    return divide(0, 0)


def _goes_on(line: bytes, place: int, good: bytes, at: int) -> bool:
    """Whether a frame continues behind one to four wrong bytes."""
    anchors = [(skip, good[at + skip : at + skip + 8]) for skip in range(1, 5)]
    return any(len(anchor) == 8 and line.startswith(anchor, place + skip) for skip, anchor in anchors)


def lines_beside(piece: bytes) -> bytes | None:
    """Remove the digits of a damaged frame from the foreign lines that were printed into it, without a good copy.

    That is possible if the digits at the beginnings of the lines are the whole frame, or if the frame stops at the first
    foreign line, as when a kernel panics.

    :param piece: what is left of a frame whose body has only digits, from its start character on.
    :returns: the foreign text, or None if it is not certain that there is any.
    """
    length, body = read_counted(piece, 2)
    if length < 0:
        return None
    total = body + length + limits.CHECK_SIZE
    lines = _lines(piece)
    parts = [len(_DIGITS.match(line)[0]) for line in lines]  # type: ignore[index]
    if sum(parts) == total and len(lines) > 1 and not lines[-1][parts[-1] :].strip(b" \t\r\n"):
        parts[-1] = len(lines[-1])
    elif parts[0] >= total or any(parts[1:]) or abs(len(lines[0]) - total) < 4 or piece[-1:] not in b"\r\n":
        return None  # without a foreign line, the first line is about as long as the frame
    texts = [line[part:] for line, part in zip(lines, parts, strict=True)]
    return b"".join(texts) if b" " in texts[0].strip() else None


def _lines(piece: bytes) -> list[bytes]:
    """The lines of a piece with their ends. Unlike for ``splitlines``, CR CR LF is one end: some lines write it so."""
    return [line for line in _ONE_LINE.findall(piece) if line]


def _continues(line: bytes, good: bytes, at: int) -> int:
    """The number of bytes at the beginning of a line that can be the frame from an offset on."""
    run = _agreeing(good, at, line, 0) if at < len(good) else 0
    if at + run < len(good):
        return run
    return run + len(_CHECK_FRONT.match(line[run : run + len(good) + limits.CHECK_SIZE - at - run])[0])  # type: ignore[index]


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
        place = _next_agreement(good, g, damaged, d)
        if place is None:  # the rest has nothing in common: only whole lines with blanks are certainly text
            for line in damaged[d:].splitlines(keepends=True):
                line = _LEADING_FRAGMENT.sub(rb"\1", line)
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


def _next_agreement(good: bytes, g: int, damaged: bytes, d: int) -> tuple[int, int] | None:
    """The nearest offsets from which eight bytes agree, or the end of the good copy if that is nearer; None for neither."""
    for skip in range(1, 5):  # damage that keeps the length
        anchor = good[g + skip : g + skip + 8]
        if len(anchor) < 8:
            behind_text = damaged.find(b"\n" + good[g:], d)
            if behind_text >= 0:
                return g, behind_text + 1
            if len(damaged) - d > len(good) - g + limits.CHECK_SIZE + skip + 3:
                return None  # a foreign text, and not only damage
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
