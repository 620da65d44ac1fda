"""The decoder: finds frames and foreign text in the bytes of a line (section 3 of docs/protocol.md).

No input raises an exception, and the decoder holds a bounded number of bytes. The result does not depend on the division of
the stream into calls of :meth:`Decoder.receive`. The decoder reads a stream as follows:

1. Outside a frame, all bytes up to the next start character are foreign text.
2. A start character, a letter and a length begin a *candidate*. The candidate is complete when the number of bytes in its
   length has arrived. If it contains no other start character, the check decides whether it is a frame.
3. A start character inside a candidate begins an inner candidate. An inner control frame with a correct check is removed, and
   the outer candidate continues without it. A bulk frame is never inside another frame. The start of an inner bulk frame
   therefore ends the outer candidate as damaged. Other start characters are part of foreign text.
4. A candidate with a wrong check may contain foreign lines: see :mod:`linesync.wire.framing.foreign_text`.
5. A candidate that stays incomplete for too long is discarded as damaged.

The work is bounded. A *step* reads one frame or examines one start character. :meth:`Decoder.receive` stops after the number
of steps that its caller allows. The repair of damaged frames has a budget (:mod:`linesync.wire.framing.repair_budget`).

A shared line may set the eighth bit and insert NUL, XON, XOFF and DEL. The decoder therefore clears the eighth bit and drops
these four characters, until both ends know that the line does not do this. Foreign text is reported with its eighth bit, but
without these four characters.
"""

from __future__ import annotations

import re

from ... import limits
from ..events import Damaged, Echo, Event, ForeignText, FrameFound
from . import digits
from .bit_repair import REPAIR_COST, repair_bit
from .frames import BULK_KINDS, HELLO, LONG, PROBE, REPAIRABLE, START, Frame, checks_out, read_data
from .repair_budget import RepairBudget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .foreign_text import Splicer

__all__ = ["ALL", "Decoder"]

ALL = 1 << 60
"""A number of steps that no stream needs, which means no limit."""

_MASK = bytes(byte & 0x7F for byte in range(256))
_INSERTED = bytes(byte for byte in range(256) if byte & 0x7F in (0x00, 0x11, 0x13, 0x7F))
_MAY_START = re.compile(rb"\^(?:[A-Za-z][A-Za-z0-9_-]|[A-Za-z]?\Z)")  # a start character that may begin a frame
_PRINTABLE = (b"d", PROBE)  # the interruptible kinds whose bodies contain only digits
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_CR, _LF = 0x0D, 0x0A
_MORE, _NONE = -1, -2  # results of reading a header: incomplete, or not a header


def _copy(buffer: bytearray, start: int, end: int) -> bytes:
    """A copy of a part of a buffer. Unlike a slice, this makes only one copy."""
    with memoryview(buffer) as view:
        return bytes(view[start:end])


class Decoder:
    """Reads one direction of one line.

    :ivar seeds: the seeds of frames for this end; empty without a session.
    :ivar echo_seeds: the seeds of frames that this end sends.
    :ivar longest: the longest accepted frame in bytes, without its newline. A longer frame counts as foreign text.
    :ivar eight: whether all eight bits of each byte are read; otherwise seven bits.
    :param patience: seconds without a byte after which an incomplete frame is discarded.
    """

    def __init__(
        self, *, longest: int = limits.BASIC_FRAME, eight: bool = False, patience: float = limits.FRAME_PATIENCE
    ) -> None:
        self.longest = longest
        self._patience = patience
        self.eight = eight
        self.seeds: tuple[int, ...] = ()
        self.echo_seeds: tuple[int, ...] = ()
        self.framed = 0
        """The number of bytes of valid frames and of the echo, including line ends."""
        self.inserted = 0
        """The number of dropped NUL, XON, XOFF and DEL characters."""
        self.repaired = 0
        """The number of frames in which one wrong bit was repaired."""
        self.altered = False
        """Whether the line has set the eighth bit in valid frames."""
        self._view = bytearray()  # the bytes in which frames are searched; bound: limits.PIPE_FRAME
        self._raw = self._view if eight else bytearray()  # the same bytes as they arrived; bound: limits.PIPE_FRAME
        self._scan = 1  # where the search for the next start character in the candidate continues
        self._head: tuple[int, int] | None = None  # the header of the candidate; None until it is complete
        self._following: tuple[int, int] | None = (
            None  # the header of the inner candidate that ends the outer candidate
        )
        self._splicer: Splicer | None = None  # for a candidate that has its full length and a wrong check
        self._newline_at: int | None = None  # the offset after an accepted frame whose newline is not complete yet
        self._skipped_cr = False
        self._last_byte = 0.0
        self._events: list[Event] = []  # bound: call
        self._budget = RepairBudget(limited=eight)
        self._last_step = 0  # the number of the step after which this call stops
        self.steps = 0
        """The number of steps so far."""
        self.stopped = False
        """Whether the last call had no steps left for all bytes. The caller must then call :meth:`receive` again."""

    def read_eight_bits(self, eight: bool) -> None:
        """Read eight bits of each byte from now on, or seven bits."""
        if eight != self.eight:
            self.eight = eight
            kept = bytes(self._raw) if eight else bytes(self._raw).translate(None, _INSERTED)
            self._raw = bytearray(kept)
            self._view = self._raw if eight else bytearray(kept.translate(_MASK))
            self._newline_at = None if self._view else self._newline_at
            self._next_candidate()

    def receive(self, data: bytes | bytearray | memoryview, now: float, most: int = ALL) -> list[Event]:
        """Decode received bytes.

        :param most: the maximum number of steps. The remaining bytes are kept for the next call.
        :returns: the complete frames and texts, in order.
        """
        self._budget.earn(len(data))
        self._last_step = self.steps + most
        if self.eight:
            if self.stopped and self._scan == 1 and self._splicer is None and self._newline_at is None:
                data = b"".join((self._view, data))
                self._view.clear()
                self._head = None
            self._view += data if self._view or self._newline_at is not None else self._whole_frames(bytes(data))
        else:
            kept = bytes(data).translate(None, _INSERTED)
            self.inserted += len(data) - len(kept)
            self._raw += kept
            self._view += kept.translate(_MASK)
        self._last_byte = now
        self.stopped = False
        if self._view:
            self._run()
        return self._take_events()

    @property
    def repair_work(self) -> int:
        """The number of bytes that repairs have checked so far."""
        return self._budget.spent

    def _step(self) -> bool:
        """Begin a step. Return False if this call has no steps left."""
        if self.steps >= self._last_step:
            self.stopped = True
            return False
        self.steps += 1
        return True

    def _whole_frames(self, text: bytes) -> bytes:
        """Read the complete frames at the start of received bytes, without the buffer. On a clean pipe, nearly all bytes are
        complete frames without bytes between them.

        :returns: the remaining bytes, for the buffer.
        """
        at, end = 0, len(text)
        while at < end and text[at : at + 1] == START and self.steps < self._last_step:
            length, body = digits.read_counted(text, at + 2)
            stop = body + length + limits.CHECK_SIZE
            if length < 0 or stop >= end or text[stop] != _LF or stop - at > self.longest:
                break
            if text.find(START, at + 1, stop) >= 0:
                break
            frame = self._read(text[at:stop], body - at)
            if frame is None:
                break
            self._events.append(frame)
            self.steps += 1
            at = stop + 1
        self.framed += at
        return text[at:] if at else text

    def next_timer(self) -> float | None:
        """The next deadline, or None."""
        if not self._view or self.stopped:
            return None
        # A machine may stall after it has printed a line into a frame, and then continue the frame.
        printed = not self.eight and self._view[-1:] == b"\n"
        return self._last_byte + (limits.LINE_PATIENCE if printed else self._patience)

    def handle_timer(self, now: float) -> list[Event]:
        """Discard a candidate that stayed incomplete for too long, so that text behind it is not delayed."""
        deadline = self.next_timer()
        if deadline is not None and now >= deadline:
            self._give_up(len(self._view))
            self._run()
        return self._take_events()

    def receive_eof(self) -> list[Event]:
        """Handle the end of the line: report incomplete frames as damaged. Bytes after the last step stay unread."""
        self.stopped = False
        if self._view:
            self._give_up(len(self._view))
        self._newline_at = None
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # -- the buffer ----------------------------------------------------------------------------------------------------

    def _cut(self, start: int, end: int) -> bytes:
        """Remove a part of the buffer.

        :returns: its bytes as they arrived, with the eighth bit.
        """
        if self._newline_at is not None and self._newline_at >= end:
            self._newline_at -= end - start
        out = _copy(self._raw, start, end)
        del self._view[start:end]
        if self._raw is not self._view:
            del self._raw[start:end]
        return out

    def _text(self, length: int) -> None:
        if length:
            self._events.append(ForeignText(self._cut(0, length)))

    def _give_up(self, length: int, head: tuple[int, int] | None = None) -> None:
        """Report the candidate as damaged, because it is not a frame.

        :param length: its length in bytes.
        :param head: the header of the next candidate, if it was already read.
        """
        self._events.append(Damaged(self._cut(0, length)))
        self._next_candidate()
        self._head = head

    def _next_candidate(self) -> None:
        self._scan = 1
        self._head = None
        self._splicer = None

    def _skip_newline(self) -> None:
        """Remove the newline of an accepted frame, as far as it has arrived. Lines may change it to CR LF and the like."""
        at = self._newline_at
        assert at is not None
        view = self._view
        while at < len(view):
            byte = view[at]
            if byte == _LF:
                self.framed += len(self._cut(at, at + 1))
            elif byte == _CR and not self._skipped_cr:
                self.framed += len(self._cut(at, at + 1))
                self._skipped_cr = True
                continue
            elif byte in b" \t" and not self.eight and not self._skipped_cr:
                end = at + 1
                while end < len(view) and view[end] in b" \t":
                    end += 1
                self.framed += len(self._cut(at, end))
                continue
            self._newline_at = None
            return

    def _accepted(self, at: int) -> None:
        """Remove the newline behind a frame that was removed at this offset."""
        self._newline_at = at
        self._skipped_cr = False
        self._skip_newline()

    # -- candidates ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._newline_at is not None:
            self._skip_newline()
        at = 0
        while self._view:
            if not self._step():
                self._text(at)
                return
            if self._head is None:
                start = self._find_start(at, len(self._view))
                if start < 0:
                    self._text(len(self._view))
                    return
                if self._header(start)[0] == _NONE:
                    at = start + 1
                    continue
                at = 0
                self._text(start)
            if not self._candidate():
                return

    def _find_start(self, at: int, end: int) -> int:
        """The offset of the next start character that may begin a frame; -1 if there is none."""
        first = self._view.find(
            START, at, end
        )  # ten times as fast as the search; most long frames contain no such byte
        if first < 0:
            return -1
        match = _MAY_START.search(self._view, first, end)
        return match.start() if match is not None else -1

    def _find_inner(self, at: int, end: int) -> int:
        """Do the same as :meth:`_find_start` inside the candidate. No byte of the candidate is searched twice."""
        start = self._find_start(at, end)
        self._scan = max(self._scan, start if start >= 0 else min(end, len(self._view)))
        return start

    def _header(self, at: int) -> tuple[int, int]:
        """Read the header at an offset.

        :returns: the length of the frame without its newline, and the offset of its body. The length is _MORE if the header
            is incomplete, and _NONE if it is not a header.
        """
        view = self._view
        if at + 2 >= len(view):
            return (_MORE if at + 1 >= len(view) or view[at + 1] in _LETTERS else _NONE), 0
        if view[at + 1] not in _LETTERS:
            return _NONE, 0
        length, body = digits.read_counted(view, at + 2)
        if length < 0:
            return (_MORE if length == -1 else _NONE), 0
        total = body - at + length + limits.CHECK_SIZE
        return (total if total <= self.longest else _NONE), body

    def _candidate(self) -> bool:
        """Decide about the candidate at the start of the buffer. Return False if more bytes or steps are needed."""
        while True:
            total, body = head = self._head or self._header(0)
            if total == _NONE:
                self._next_candidate()
                self._text(1)
                return True
            if total != _MORE:
                self._head = head
            inner = self._find_inner(self._scan, len(self._view) if total == _MORE else total)
            if inner < 0:
                break
            outer_lost = self._inner(inner)
            if outer_lost is None:
                return False
            if outer_lost:
                self._give_up(inner, self._following)
                return True
            if not self._step():
                return False
        if total == _MORE or len(self._view) < total:
            return False
        if self._splicer is None:
            if (self._view.find(START, 1, total) < 0 and self._take(0, total, body)) or self._repair_bit(total, body):
                self._next_candidate()
                return True
            from .foreign_text import Splicer  # imported only when a line damages a frame

            self._splicer = Splicer(total, two_texts=self._view[1:2] == REPAIRABLE, budget=self._budget)
        return self._wrong_candidate(self._splicer, total, body)

    def _wrong_candidate(self, splicer: Splicer, total: int, body: int) -> bool:
        """Try to repair the candidate, which has its full length and a wrong check, with the bytes before each further start
        character. Return False if more bytes or steps are needed."""
        while True:
            following = self._find_inner(max(self._scan, total), len(self._view))
            if self._repair(splicer, body, following if following >= 0 else len(self._view)):
                return True
            if following < 0:
                return False
            outer_lost = self._inner(following)
            if outer_lost is None:
                return False
            if outer_lost:
                self._give_up(following, self._following)
                return True
            if not self._step():
                return False

    def _inner(self, at: int) -> bool | None:
        """Examine a start character inside the candidate.

        :returns: None if more bytes are needed; True if the outer candidate is lost; False if the outer candidate continues.
        """
        total, body = self._header(at)
        if total == _MORE:
            return None
        if total == _NONE:
            self._scan = at + 1
            return False
        if bytes(self._view[at + 1 : at + 2]) in BULK_KINDS and not self._quoted(at):
            self._following = total, body - at
            return True
        again = self._view.find(START, at + 1, at + total)
        if total > limits.CONTROL_FRAME or again >= 0:
            self._scan = at + 1
            return False
        if len(self._view) < at + total:
            return None
        if not self._take(at, total, body):
            self._scan = at + 1
        return False

    def _quoted(self, at: int) -> bool:
        """Whether a start character inside the candidate belongs to foreign text that contains the text of a frame. Before a
        real frame there is a newline, or a digit of the check if the line has lost the newline."""
        before, kind = self._view[at - 1 : at], self._view[1:2]
        if kind == REPAIRABLE:  # the body of this kind may contain digits everywhere, but no newline
            return before not in (b"\n", b"\r")
        printable = not self.eight or kind in _PRINTABLE
        return printable and before > b"\x1f" and not before.isalnum() and before not in (b"-", b"_")

    def _take(self, at: int, total: int, body: int) -> bool:
        """Report and remove the frame at an offset if its check is correct. Return whether it was."""
        frame = self._read(_copy(self._view, at, at + total), body - at)
        if frame is None:
            return False
        self._events.append(frame)
        raw = self._cut(at, at + total)
        if not self.eight and not raw.isascii():
            self.altered = (
                self.altered or sum(byte > 0x7F for byte in raw) > len(raw) // 8
            )  # a smaller number of such bytes are bit errors
        self.framed += len(raw)
        self._accepted(at)
        return True

    def _repair_bit(self, total: int, body: int) -> bool:
        """Accept the candidate at the start of the buffer if it is a frame with one wrong bit and a correct second check.
        Return whether it was accepted."""
        kind = bytes(self._view[1:2])
        if kind != REPAIRABLE:
            return False
        text = bytes(self._view[1:total])
        for seed in self.seeds:
            if not self._budget.spend(REPAIR_COST * total):
                return False
            covered = repair_bit(text[: -limits.CHECK_SIZE], text[-limits.CHECK_SIZE :], seed)
            if covered is not None and covered[: body - 1] == text[: body - 1]:
                frame = Frame(kind, covered[body - 1 :], seed)
                if read_data(kind, frame.body) is None:
                    continue
                self._events.append(FrameFound(frame, total + 1))
                self.repaired += 1
                self.framed += len(self._cut(0, total))
                self._accepted(0)
                return True
        return False

    def _read(self, text: bytes, body: int) -> FrameFound | Echo | None:
        """Read a frame. Return None if its check is wrong with every seed.

        :param text: the frame with its start character and without its newline.
        :param body: the offset of the body.
        """
        kind = text[1:2]
        covered: bytes | memoryview = (
            text[1 : -limits.CHECK_SIZE] if len(text) < LONG else memoryview(text)[1 : -limits.CHECK_SIZE]
        )
        check = text[-limits.CHECK_SIZE :]
        seed = checks_out(covered, check, (0,) if kind == HELLO else self.seeds)
        if seed is not None:
            return FrameFound(Frame(kind, text[body : -limits.CHECK_SIZE], seed), len(text) + 1)
        if kind != HELLO and checks_out(covered, check, self.echo_seeds) is not None:
            return Echo(len(text) + 1)
        return None

    def _repair(self, splicer: Splicer, body: int, end: int) -> bool:
        """Search for foreign lines in the candidate. Return whether the candidate is decided (repaired or discarded).

        :param end: the offset at which the candidate ends at the latest.
        """
        found: list[FrameFound | Echo] = []

        def is_good(text: bytes) -> bool:
            frame = self._read(text, body)
            if (
                isinstance(frame, FrameFound)
                and text[1:2] == REPAIRABLE
                and read_data(REPAIRABLE, frame.frame.body) is None
            ):
                frame = None
            if frame is not None:
                found.append(frame)
            return frame is not None

        verdict = splicer.look(self._view, end, is_good)
        if verdict.frame is not None:
            length = verdict.text_end - verdict.text_start
            self._report_inside(verdict.text_start, verdict.text_end)
            if verdict.second[1]:
                length += verdict.second[1] - verdict.second[0]
                self._report_inside(*verdict.second)
            self._events.extend(found)
            self.framed += len(self._cut(0, verdict.end)) - length
            self._next_candidate()
            return True
        if verdict.hopeless:
            self._give_up(verdict.end)
            return True
        return False

    def _report_inside(self, start: int, end: int) -> None:
        """Report the bytes that were inside a frame: foreign lines, and possibly an inner control frame that contains them.
        An inner frame that cannot be repaired is not text."""
        at = self._view.find(START, start, end)
        total, body = self._header(at) if at >= 0 else (_NONE, 0)
        if 0 <= total <= limits.CONTROL_FRAME:
            found: list[FrameFound | Echo] = []

            def is_good(text: bytes) -> bool:
                frame = self._read(text, body - at)
                if frame is not None:
                    found.append(frame)
                return frame is not None

            from .foreign_text import Splicer

            verdict = Splicer(total, budget=self._budget).look(self._view[at:end], end - at, is_good)
            if verdict.frame is not None:
                text = self._raw[start:at] + self._raw[at + verdict.text_start : at + verdict.text_end]
                self._events.append(ForeignText(bytes(text + self._raw[at + verdict.end : end])))
                self._events.extend(found)
                self.framed += verdict.end - (verdict.text_end - verdict.text_start)
                return
        text = self._raw[start:end]
        self._events.append(Damaged(bytes(text)) if text.startswith(START) else ForeignText(bytes(text)))
