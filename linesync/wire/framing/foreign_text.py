"""Separates a frame from foreign text that was printed into it (section 3.2 of docs/protocol.md).

A kernel prints complete lines at any time, even into the middle of a frame. A frame contains its own length. The position of
the foreign text therefore follows from the position of the frame's end:

1. The frame ends at a line end. The foreign text inside it also ends at a line end.
2. The number of bytes from the start to the frame's own line end is the length of the frame plus the length of the foreign
   text.
3. For each earlier line end there is therefore one possible beginning of the foreign text, and one check to compute.
4. Two foreign texts can divide the additional bytes in as many ways as there are additional bytes. This number of checks
   would sometimes accept noise as a frame. These checks are therefore computed only for frames with a second check.

All other damaged pieces are compared with the good copy (the undamaged repetition) of their frame:

5. If the piece has no other damage, each of its lines is a part of the frame, possibly empty, and then foreign text up to the
   line end. :func:`whole_lines` finds such a division, for any number of texts at any distance. The frame may also stop at a
   foreign line.
6. Otherwise :func:`difference` finds an approximate division.

A control frame is never sent again, and a host sends no frame again after a panic. :func:`lines_beside` finds the foreign
lines in the remains of such frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ... import limits
from .digits import ALPHABET, read_counted
from .repair_budget import RepairBudget

__all__ = ["Splicer", "Verdict", "difference", "lines_beside", "whole_lines"]

# A run of blanks is matched only from its first blank. A match from each blank would take quadratic time.
# A carriage return at the end of the bytes may be the first half of a line end.
_LINE_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r(?!\Z))")
_OWN_END = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n|\n|\r)\Z")
_CHECK_FRONT = re.compile(rb"[A-Za-z0-9_-]{0,%d}" % limits.CHECK_SIZE)
_FRAGMENT = re.compile(rb"\^[A-Za-z0-9_-]*")
_LEADING_FRAGMENT = re.compile(rb"\A([A-Za-z0-9_-]*)\^[A-Za-z0-9_-]*")
_DIGITS = re.compile(rb"\^?[A-Za-z0-9_-]*")
_EARLY_SPACE = re.compile(
    rb"[^ \r\n]{0,23} [^\r\n]"
)  # foreign text has a space in its first 24 bytes, a frame has none
_ONE_LINE = re.compile(rb"[^\r\n]*(?:\r+\n?|\n|\Z)")
_IDENTIFIES_FRAME = 24  # the number of bytes that identify a frame
_TRY = 256  # the fixed cost of a check, as the number of bytes that a check reads in the same time
_SEARCH = 16  # the cost of the search for line ends for each byte, in the same unit
_DIVISIONS = 4000  # the maximum number of divisions of a piece that are tried, which takes a millisecond


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
        """The frame with its start and without its newline; None if no frame was found."""
        self.text_start, self.text_end = span
        """The offsets of the foreign text in the piece: its start, and the offset after it."""
        self.second = second
        """The same offsets of a second foreign text; (0, 0) if there is none."""
        self.end = end
        """The offset after the examined bytes."""
        self.hopeless = hopeless
        """Whether no further line end can complete a frame."""


class Splicer:
    """Searches the start of a piece for a frame with foreign lines inside.

    The piece may grow between calls of :meth:`look`.

    :param total: the length of the frame in bytes, without its newline.
    :param two_texts: whether two foreign texts are allowed, because the frame has a second check.
    :param budget: limits the work of the search; by default, a new budget.
    """

    __slots__ = ("_at", "_budget", "_ends", "_seen", "_total", "_tries")

    def __init__(self, total: int, *, two_texts: bool = False, budget: RepairBudget | None = None) -> None:
        self._total = total
        self._budget = budget or RepairBudget()
        self._tries = limits.FOREIGN_TRIES if two_texts else 0  # the number of checks that are left for two texts
        # bound: limits.FOREIGN_LINES
        self._ends: list[tuple[int, int]] = []  # the line ends so far: (offset, offset after it)
        self._at = 0  # the offset from which the next line end is searched
        self._seen = 0

    def look(self, piece: bytes | bytearray, end: int, is_good: Callable[[bytes], bool]) -> Verdict:
        """Examine the piece up to an offset, which must not decrease from call to call.

        :param is_good: returns whether the check of a candidate is correct.
        """
        if not self._budget.spend(
            _SEARCH * max(end - self._at, 0)
        ):  # a run of blanks is searched in each call until it ends
            return Verdict(end=end, hopeless=True)
        while (match := _LINE_END.search(piece, self._at, end)) is not None:
            line_end, self._at = match.span()
            verdict = self._try(piece, line_end, self._at, is_good)
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
        self, piece: bytes | bytearray, line_end: int, behind: int, is_good: Callable[[bytes], bool]
    ) -> Verdict | None:
        """Check whether a line end is the line end of the frame.

        :param line_end: the offset of the line end.
        :param behind: the offset after the line end.
        """
        extra = line_end - self._total
        if extra == 0 and not self._ends:  # after a foreign line, this could be the end of another foreign line
            return Verdict(end=behind, hopeless=True)
        for _, after in self._ends if extra >= 0 else ():
            begin = after - extra
            if begin < 2:
                continue
            if not self._budget.spend(self._total + _TRY):
                return Verdict(end=behind, hopeless=True)
            candidate = bytes(piece[:begin] + piece[after:line_end])
            if is_good(candidate):
                return Verdict(frame=candidate, span=(begin, after), end=behind)
        if 1 < extra <= self._tries:
            verdict = self._try_two(piece, line_end, behind, is_good)
            if verdict is not None:
                return verdict
        self._ends.append((line_end, behind))
        if len(self._ends) > limits.FOREIGN_LINES or extra > limits.FOREIGN_IN_FRAME:
            return Verdict(end=behind, hopeless=True)
        return None

    def _try_two(
        self, piece: bytes | bytearray, line_end: int, behind: int, is_good: Callable[[bytes], bool]
    ) -> Verdict | None:
        """Do the same for two foreign texts. Each of them ends at an earlier line end."""
        extra = line_end - self._total
        for number, (_, first) in enumerate(self._ends):
            for _, second in self._ends[number + 1 :]:
                self._tries -= extra
                if self._tries < 0:
                    return None
                front, middle, back = bytes(piece[:first]), bytes(piece[first:second]), bytes(piece[second:line_end])
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

    Each line of the piece consists of a part of the frame and foreign text after it. The search tries the longest part first,
    because a foreign text rarely begins with the character that continues the frame. If it does, the later lines do not
    match, and the search tries a shorter part.

    The sender may stop inside the frame, like a machine that stalls or panics. The piece then ends with foreign text.

    :param piece: the damaged copy.
    :param good: the frame without its check. Only the length of the check is known.
    :returns: the foreign text; None if the piece does not consist of the frame and complete lines.
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
    """Divide lines into parts of a frame and foreign texts. Return the foreign texts, or None.

    :param total: the length of the frame in bytes.
    :param stops: whether the frame stops at the last foreign text, and each foreign text has a space in its first 24 bytes.
        Otherwise the frame must be complete.
    """
    tries = 0
    failed: set[tuple[int, int]] = set()

    def divide(number: int, at: int) -> list[bytes] | None:
        """The foreign texts from a line on, if the frame continues in this line at an offset."""
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
            if (number + 1, at + part) in failed or (stops and not _EARLY_SPACE.match(line, part)):
                continue
            rest = divide(number + 1, at + part)
            if rest is not None:
                return [line[part:], *rest]
            failed.add((number + 1, at + part))
        return None

    return divide(0, 0)


def _goes_on(line: bytes, place: int, good: bytes, at: int) -> bool:
    """Whether a frame continues after one to four wrong bytes."""
    anchors = [(skip, good[at + skip : at + skip + 8]) for skip in range(1, 5)]
    return any(len(anchor) == 8 and line.startswith(anchor, place + skip) for skip, anchor in anchors)


def lines_beside(piece: bytes) -> bytes | None:
    """Remove the digits of a damaged frame from the foreign lines that were printed into it, without a good copy.

    This is possible in two cases: the digits at the beginnings of the lines are the complete frame, or the frame stops at the
    first foreign line, for example because a kernel panics.

    :param piece: the remains of a frame whose body contains only digits, from its start character on.
    :returns: the foreign text; None if it is not certain that the piece contains foreign text.
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
    """The lines of a piece with their line ends. Unlike in ``splitlines``, CR CR LF is one line end, because some serial
    lines produce it."""
    return [line for line in _ONE_LINE.findall(piece) if line]


def _continues(line: bytes, good: bytes, at: int) -> int:
    """The number of bytes at the beginning of a line that can continue the frame at an offset."""
    run = _agreeing(good, at, line, 0) if at < len(good) else 0
    if at + run < len(good):
        return run
    return run + len(_CHECK_FRONT.match(line[run : run + len(good) + limits.CHECK_SIZE - at - run])[0])  # type: ignore[index]


def difference(damaged: bytes, good: bytes) -> tuple[float, bytes, int]:
    """Compare a damaged piece with a good copy of its frame, in one pass over both.

    At a difference, the function searches for the next position at which eight bytes agree again. It first searches a few
    bytes ahead, which finds flipped, lost and doubled bytes. Then it searches as far as foreign text may reach. (A general
    comparison like that of difflib takes quadratic time, and cubic time on a payload of zeros.)

    :returns: the share of the good copy that the piece contains (0 to 1), the foreign text in the piece, and the number of
        bytes that belong to neither.
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
        if place is None:  # the rest has no common bytes; only complete lines with blanks are certainly text
            for line in damaged[d:].splitlines(keepends=True):
                line = _LEADING_FRAGMENT.sub(rb"\1", line)
                text += line if b" " in line.strip() and line[-1:] in b"\r\n" else b""
            noise += len(damaged) - d - len(text)
            break
        skipped, start, end = place[0] - g, d, place[1]
        if end - start - skipped < 4:  # flipped bytes keep the length; a few more bytes are doubled bytes, not a line
            noise += end - start
        else:
            while start and damaged[end - 1] not in b"\r\n" and damaged[start - 1] == damaged[end - 1]:
                start, end = (
                    start - 1,
                    end - 1,
                )  # moves the difference to the left, because foreign text ends at a line end
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
    """The nearest offsets from which eight bytes agree, or the end of the good copy if it is nearer; None if neither is
    found."""
    for skip in range(1, 5):  # damage that does not change the length
        anchor = good[g + skip : g + skip + 8]
        if len(anchor) < 8:
            behind_text = damaged.find(b"\n" + good[g:], d)
            if behind_text >= 0:
                return g, behind_text + 1
            if len(damaged) - d > len(good) - g + limits.CHECK_SIZE + skip + 3:
                return None  # there is a foreign text in addition to the damage
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
    """Split the bytes of a piece behind the body of its frame: the check, whose value is not known, the newline, and foreign
    text between or around them.

    :returns: the foreign text, and the number of bytes of the check and the newline.
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
    """The foreign text without the remains of control frames into which it was printed."""
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
