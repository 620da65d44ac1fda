"""A line receiver that records the calls of a transport and every violation of the rules.

The rules are those of :mod:`linesync.transports.interface`. A receiver cannot raise an error for its test, because the
transport would catch the error. It therefore collects the violations, and :meth:`Recorder.verify` raises an error later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import LinesyncError
from ..transports.interface import Line

__all__ = ["Recorder"]

_PATIENCE_SECONDS = 20.0
_CHECK_INTERVAL = 0.01


class Recorder:
    """The receiver of one line under test.

    :ivar data: all received bytes, in order.
    :ivar calls: the transport's calls, in order: ``made``, ``data``, ``eof``, ``pause``, ``resume``, ``lost``.
    :ivar error: the error of ``line_lost``.
    :ivar kept: with ``keep``, the buffers of all calls of ``data_received``.
    """

    def __init__(
        self,
        name: str,
        *,
        greeting: bytes = b"",
        keep: bool = False,
        fail_in: str | None = None,
        on_data: Callable[[Recorder], None] | None = None,
    ) -> None:
        """
        :param name: the line's name in failures.
        :param greeting: bytes that ``line_made`` writes.
        :param keep: whether to keep a reference to every received buffer.
        :param fail_in: the call that raises a ValueError on purpose.
        :param on_data: called after each piece of data.
        """
        self.name = name
        self.data = bytearray()
        self.calls: list[str] = []
        self.kept: list[object] = []
        self.error: LinesyncError | None = None
        self._line: Line | None = None
        self._greeting = greeting
        self._keep = keep
        self._fail_in = fail_in
        self._on_data = on_data
        self._closed = False
        self._inside = False
        self._faults: list[str] = []
        self._changed = asyncio.Event()

    # -- for the test ----------------------------------------------------------------------------------------

    @property
    def line(self) -> Line:
        assert self._line is not None, f"the {self.name} line was used before line_made"
        return self._line

    @property
    def made(self) -> bool:
        return "made" in self.calls

    @property
    def lost(self) -> bool:
        return "lost" in self.calls

    @property
    def paused(self) -> bool:
        turns = [call for call in self.calls if call in ("pause", "resume")]
        return turns[-1:] == ["pause"]

    def write(self, data: bytes) -> None:
        self._use(lambda line: line.write(data))

    def close(self) -> None:
        self._closed = True
        self._use(lambda line: line.close())

    def abort(self) -> None:
        self._closed = True
        self._use(lambda line: line.abort())

    async def until(self, condition: Callable[[], object], expectation: str) -> None:
        """Wait until ``condition`` is true.

        The condition is checked after every call of the transport, and also at intervals, because it may depend on other
        objects.

        :param expectation: a clause for the error, such as "the line should call line_made".
        :raises AssertionError: the condition stays false. The message contains the expectation and the transcript.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PATIENCE_SECONDS
        while not condition():
            if clock() > deadline:
                raise AssertionError(f"{expectation}, but it did not happen: {self.transcript()}")
            self._changed.clear()
            try:
                async with asyncio.timeout(_CHECK_INTERVAL):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def until_lost(self) -> None:
        await self.until(lambda: self.lost, f"the {self.name} line should have called line_lost")

    async def until_received(self, expected: bytes) -> None:
        """Wait until exactly these bytes have arrived."""
        await self.until(
            lambda: len(self.data) >= len(expected) or self.lost,
            f"the {self.name} line should have received {len(expected)} bytes",
        )
        if self.data != expected:
            problem = f"the {self.name} line received bytes that differ from those written"
            raise AssertionError(f"{problem}: {_difference(self.data, expected)}; {self.transcript()}")

    def verify(self) -> None:
        """Check that no rule was broken.

        :raises AssertionError: a rule was broken. The message names each broken rule.
        """
        if self._faults:
            raise AssertionError(f"{'; '.join(self._faults)}: {self.transcript()}")

    def transcript(self) -> str:
        """The calls so far as one line of text. Repeated calls are counted."""
        shown: list[list[object]] = []
        for call in self.calls:
            if shown and shown[-1][0] == call:
                shown[-1][1] = int(str(shown[-1][1])) + 1
            else:
                shown.append([call, 1])
        words = [f"{call} x{count}" if count != 1 else str(call) for call, count in shown]
        reason = f", error {self.error!r}" if self.lost else ""
        return f"{self.name}: {', '.join(words) or 'nothing'}; {len(self.data)} bytes{reason}"

    # -- for the transport -----------------------------------------------------------------------------------

    def line_made(self, line: Line) -> None:
        if self.calls:
            self._fault("line_made came again or not first")
        self._line = line
        self._note("made")
        if self._greeting:
            self.write(self._greeting)

    def data_received(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, bytes | bytearray | memoryview) or not data:
            self._fault(f"data_received got {data!r} and not a buffer with bytes")
        if self._closed:
            self._fault("data_received was called after close()")
        if "eof" in self.calls:
            self._fault("data_received came after eof_received")
        self.data += data
        if self._keep:
            self.kept.append(data)
        self._note("data")
        if self._on_data is not None:
            self._on_data(self)

    def eof_received(self) -> None:
        if "eof" in self.calls:
            self._fault("eof_received came twice")
        if self._closed:
            self._fault("eof_received was called after close()")
        self._note("eof")

    def pause_writing(self) -> None:
        if self.paused:
            self._fault("pause_writing came twice in a row")
        self._note("pause")

    def resume_writing(self) -> None:
        if not self.paused:
            self._fault("resume_writing came without a pause")
        self._note("resume")

    def line_lost(self, error: LinesyncError | None) -> None:
        if self._inside:
            self._fault("line_lost came from within a call of the line")
        if error is not None and not isinstance(error, LinesyncError):
            self._fault(f"line_lost got {error!r}, which is not one of linesync's errors")
        elif error is not None and (not str(error) or "\n" in str(error)):
            self._fault(f"line_lost got {str(error)!r}, which is not a sentence")
        if self._closed and error is not None and not self.lost:
            self._fault(f"line_lost got {error} although the line was closed with close()")
        self.error = error
        self._note("lost")

    def _use(self, call: Callable[[Line], None]) -> None:
        before, self._inside = self._inside, True
        try:
            call(self.line)
        except Exception as failure:
            self._fault(f"a method of the line raised {failure!r}")
        finally:
            self._inside = before

    def _note(self, call: str) -> None:
        if self.lost:
            self._fault(f"{call} came after line_lost")
        if call != "made" and not self.made:
            self._fault(f"{call} came before line_made")
        self.calls.append(call)
        self._changed.set()
        if self._fail_in == call:
            raise ValueError(f"the receiver fails in {call} on purpose")

    def _fault(self, sentence: str) -> None:
        self._faults.append(f"on the {self.name} line, {sentence}")


def _difference(received: bytes | bytearray, expected: bytes) -> str:
    for place, (got, want) in enumerate(zip(received, expected, strict=False)):
        if got != want:
            return f"at byte {place} of {len(expected)} it was {got:#04x} and not {want:#04x}"
    return f"{len(received)} bytes arrived, but {len(expected)} were written"
