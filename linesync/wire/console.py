"""Separates the console text of a line from the remains of damaged frames (section 3.2 of docs/protocol.md).

1. Text outside frames is reported as it arrives.
2. A damaged piece is *held*. When the good copy of its frame (an undamaged repetition) arrives, it is compared with the piece.
   The bytes of the piece that are not in the copy are text that was printed into the frame. The rest is dropped. If no good
   copy arrives, the piece is noise, except for complete lines that were certainly printed into it. A damaged control frame
   is never sent again. It is therefore noise immediately, unless a line of text is inside. A damaged try is neither text nor
   noise, because damage is its purpose.
3. A long run of frame characters outside a frame may be a frame whose start was damaged. It is held too. It may also be a
   printed checksum, so it becomes text if no good copy arrives.
4. A line that is opened in the middle of a frame begins with the rest of that frame: frame characters up to a newline.
5. All bytes keep their order. Bytes after a held piece wait with it.

Held pieces are few and small, and are held for a short time. Between calls, the first held piece always waits for its good
copy.
"""

from __future__ import annotations

import re
from collections import deque
from math import inf

from .. import limits
from .events import Damaged, Event, ForeignText, Noise
from .framing.digits import ALPHABET, counted
from .framing.frames import PROBE, START, TRY, probe_text, try_body
from .framing.transparency import GROUPS

__all__ = ["Console"]

_LIKE_A_FRAME = re.compile(rb"([A-Za-z0-9_-]{24,}[\r\n]*)")
# A capital letter after a small letter or a digit distinguishes the rest of a frame from the first word of a boot loader.
_REST_OF_A_FRAME = re.compile(
    rb"(?=[A-Za-z0-9_.-]*[a-z0-9][A-Z])[A-Za-z0-9_.-]{%d,%d}\r?\n" % (limits.CHECK_SIZE, limits.BASIC_FRAME)
)
_HAS_COPIES = b"cdCDbBT"  # the kinds of frames that are sent again or whose text is known
# A longer probe begins like a shorter probe.
_PROBES = [probe_text(size) for size in sorted(limits.PROBE_SIZES, reverse=True)]
_IDENTIFIES_PROBE = 24  # the smallest number of bytes that identify a probe
_SAME_FRAME = 0.6  # the share of a good copy that a piece must contain to count as a damaged copy of it


_TRIES = {
    START + TRY + counted(len(group) + 1) + try_body(number, b""): group for number, group in enumerate(GROUPS, 1)
}
"""The first bytes of each try, and the bytes that it tries."""


def _is_damaged_try(piece: bytes) -> bool:
    """Whether a piece is a try whose bytes the line removed, doubled or cleared of their eighth bits."""
    piece = piece.rstrip(b"\r\n")
    for head, group in _TRIES.items():
        if piece.startswith(head) and len(piece) >= len(head) + limits.CHECK_SIZE:
            tried, check = piece[len(head) : -limits.CHECK_SIZE], piece[-limits.CHECK_SIZE :]
            ordered = (byte for tried_byte in group for byte in (tried_byte, tried_byte & 127, tried_byte))
            return all(byte in ordered for byte in tried) and not check.translate(None, ALPHABET)
    return False


def _common_prefix(left: bytes, right: bytes) -> int:
    """The number of equal bytes at the beginning of both texts."""
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


class _Held:
    """A piece of the stream that is not reported yet."""

    __slots__ = ("data", "is_text", "open", "until")

    def __init__(self, data: bytes, until: float, *, is_text: bool, is_open: bool) -> None:
        self.data = data
        self.until = until
        self.is_text = is_text
        """Whether the piece will be reported as text; otherwise it is noise."""
        self.open = is_open
        """Whether the piece still waits for its good copy."""


class Console:
    """Sorts the bytes that the decoder found outside valid frames. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()  # bound: limits.HELD_COUNT, limits.HELD_BYTES
        self._open = 0  # the number of held pieces that wait for their good copies
        self._bytes = 0
        self._begins = True  # whether no text has arrived yet
        self._run = b""  # the frame characters at the end of the received text, after which more may follow
        self._run_until = 0.0
        self.explained = 0
        """The number of bytes of damaged pieces that were found in their good copies."""

    @property
    def holds(self) -> bool:
        """Whether a piece waits for its good copy."""
        return bool(self._held)

    @property
    def compared(self) -> int:
        """The number of pieces with which the next good copy is compared."""
        return self._open

    @property
    def pending(self) -> int:
        """The number of bytes that are not reported yet."""
        return self._bytes + len(self._run)

    def sort(self, event: ForeignText | Damaged, now: float) -> list[Event]:
        """Handle a piece of text or damage.

        :returns: the text and noise that can be reported now.
        """
        if isinstance(event, ForeignText):
            data = self._run + event.data
            cut = len(data.rstrip(ALPHABET))
            if len(data) - cut > limits.SERIAL_FRAME:
                cut = len(data)
            self._run, self._run_until = data[cut:], now + limits.FRAME_PATIENCE
            self._text(data[:cut], now)
        elif _is_damaged_try(event.data):
            self._end_run(now)
            self.explained += len(event.data)
        else:
            self._end_run(now)
            body = event.data.rstrip(b"\r\n")
            alone = event.data[1:2] not in _HAS_COPIES and b"\n" not in body and b"\r" not in body
            self._hold(event.data, now, is_text=False, is_open=not alone)
            if event.data[1:2] == PROBE:
                self._compare_probe(self._held[-1])
        out = self._drain()
        while self._open > limits.HELD_COUNT or self._bytes > limits.HELD_BYTES:
            self._give_up(self._held[0])
            out += self._drain()
        return out

    def good_copy(self, text: bytes) -> list[Event]:
        """Compare the held pieces with a valid data frame, and return the text and noise that can be reported now.

        :param text: the frame from its kind on, without its check.
        """
        for held in self._held:
            self._compare(held, text)
        return self._drain()

    def _compare_probe(self, held: _Held) -> None:
        """Find foreign text in a damaged probe. The text of a probe is known, so all bytes after the beginning of a probe are
        foreign text."""
        piece = held.data
        same, size = max((_common_prefix(piece[1:], text), len(text)) for text in _PROBES)
        for text in _PROBES:
            if len(text) == size or same < _IDENTIFIES_PROBE:
                self._compare(held, text)
        cut = same + 1
        if held.open and same >= _IDENTIFIES_PROBE and cut < len(piece):
            held.data = piece[:cut]
            self._bytes -= len(piece) - cut
            self._stop_waiting(held)
            self._hold(piece[cut:], held.until, is_text=True, is_open=False)

    def _compare(self, held: _Held, text: bytes) -> None:
        piece = held.data
        if piece.startswith(START):
            text = START + text
        if not held.open or len(piece) > len(text) + 2 * limits.FOREIGN_IN_FRAME:
            return
        from .framing.foreign_text import difference, whole_lines  # few lines need them

        foreign = whole_lines(piece, text)
        if foreign is None:
            share, foreign, _ = difference(piece, text) if len(piece) >= len(text) // 4 else (0.0, b"", 0)
            if share < _SAME_FRAME:
                return
        self._explain(held, foreign)

    def _explain(self, held: _Held, foreign: bytes) -> None:
        """Keep only the foreign text of a piece. The other bytes belong to a frame."""
        self._bytes -= len(held.data) - len(foreign)
        self.explained += len(held.data) - len(foreign)
        held.data, held.is_text = foreign, True
        self._stop_waiting(held)

    def next_timer(self) -> float | None:
        """The next deadline, or None."""
        times = [self._held[0].until] if self._held else []
        if self._run:
            times.append(self._run_until)
        return min(times, default=None)

    def handle_timer(self, now: float) -> list[Event]:
        """Return the text and noise of the pieces whose time is over."""
        if self._run and self._run_until <= now:
            self._end_run(now)
        out = self._drain()
        while self._held and self._held[0].until <= now:
            self._give_up(self._held[0])
            out += self._drain()
        return out

    def flush(self) -> list[Event]:
        """Return all held text and noise, because the line ended and no good copies will arrive."""
        self._end_run(0.0)
        return self.handle_timer(inf)

    def _end_run(self, now: float) -> None:
        run, self._run = self._run, b""
        self._text(run, now)

    def _text(self, data: bytes, now: float) -> None:
        if self._begins and data:
            self._begins = False
            rest = _REST_OF_A_FRAME.match(data)
            if rest is not None:
                self._hold(rest[0], now, is_text=False, is_open=False)
                data = data[rest.end() :]
        for index, part in enumerate(_LIKE_A_FRAME.split(data)):
            if part:
                self._hold(part, now, is_text=True, is_open=index % 2 == 1)

    def _hold(self, data: bytes, now: float, *, is_text: bool, is_open: bool) -> None:
        self._bytes += len(data)
        last = self._held[-1] if self._held else None
        if last is not None and not is_open and not last.open and last.is_text == is_text:
            last.data += data
        else:
            self._held.append(_Held(data, now + limits.HELD_TIME, is_text=is_text, is_open=is_open))
            self._open += is_open

    def _give_up(self, held: _Held) -> None:
        """Stop waiting for the good copy of a piece, because its time is over."""
        if held.data.startswith(START) and not held.is_text:
            from .framing.foreign_text import lines_beside

            foreign = lines_beside(held.data)
            if foreign is not None:
                self._explain(held, foreign)
                return
        self._stop_waiting(held)

    def _stop_waiting(self, held: _Held) -> None:
        """Mark a piece as one that no longer waits for its good copy."""
        self._open -= held.open
        held.open = False

    def _drain(self) -> list[Event]:
        """Take and return the events for all pieces before the first piece that waits for its good copy."""
        out: list[Event] = []
        while self._held and not self._held[0].open:
            held = self._held.popleft()
            self._bytes -= len(held.data)
            if held.data:
                out.append(ForeignText(held.data) if held.is_text else Noise(held.data))
        return out
