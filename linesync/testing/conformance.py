"""The conformance check that every transport must pass. It is similar to trio's ``check_two_way_stream``.

The test of a transport gives :func:`check_transport` a function that makes a pair of connected lines. The check covers the
order of the calls, the order of the bytes (in small and large pieces, and in both directions at the same time), the
alternation of pauses, and all possible ends of a line. A failed check raises AssertionError with a sentence and the
transcript of the line.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import BrokenError
from ..transports.interface import ReceiverFactory
from .recorder import Recorder

__all__ = ["MakePair", "Pair", "Recorder", "check_transport"]

Hook = Callable[[], object]
"""An action on a pair of lines. The result of a coroutine function is awaited."""

_SETTLE_SECONDS = 0.05
"""The wait for a late or repeated call, in seconds."""
_CLOSE_SECONDS = 3.0
"""The longest time from close() to line_lost in seconds, for a line that cannot send its unsent bytes: the one second for
which close() waits, and time to clean up."""
_FLOOD = 64 << 20
"""The number of bytes before which a transport must ask for a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The actions of a test on a pair of lines; None for an action that the transport does not support."""

    stall: Hook | None = None
    """Stops the reads of the second end, so that the bytes of the first end wait."""
    resume: Hook | None = None
    """Starts the reads of the second end again."""
    cut: Hook | None = None
    """Breaks the first line from outside: unplugs it, or kills its peer."""


MakePair = Callable[[ReceiverFactory, ReceiverFactory], AbstractAsyncContextManager[Pair]]
"""Opens a pair of lines. The arguments make the receivers of the first and of the second line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    make_pair: MakePair
    eight_bit: bool
    half_close: bool
    bulk: int
    reports: list[dict[str, Any]]

    @asynccontextmanager
    async def ends(self, first: Recorder | None = None) -> AsyncIterator[tuple[Recorder, Recorder, Pair]]:
        """Two recorders on a new pair of lines. At the end, abort the lines that are still open, and verify the rules."""
        left, right = first or Recorder("first"), Recorder("second")
        async with self.make_pair(lambda: left, lambda: right) as pair:
            try:
                await left.until(lambda: left.made, "the first line should call line_made")
                await right.until(lambda: right.made or left.lost, "the second line should call line_made")
                yield left, right, pair
            finally:
                for end in (left, right):
                    if end.made and not end.lost:
                        end.line.abort()
            for end in (left, right):
                if end.made:
                    await end.until_lost()
            await asyncio.sleep(_SETTLE_SECONDS)
        left.verify()
        right.verify()

    def noise(self, size: int, seed: int) -> bytes:
        """Random bytes of all values that the transport carries. The same seed gives the same bytes."""
        if self.eight_bit:
            return random.Random(seed).randbytes(size)
        return bytes(random.Random(seed).choices(range(32, 127), k=size))


async def check_transport(
    make_pair: MakePair,
    *,
    eight_bit: bool = True,
    half_close: bool = True,
    bulk: int = 1 << 20,
    together: bool = False,
) -> None:
    """Check every rule of :mod:`linesync.transports.interface` on a transport, each on a new pair of lines.

    :param make_pair: opens a pair. If its lines are of different kinds, the first line is under test.
    :param eight_bit: whether all byte values pass unchanged; otherwise only printable ASCII passes unchanged.
    :param half_close: whether an end detects that the other end has closed; False for a line such as a cable.
    :param bulk: the size of the largest transfer in each direction, in bytes.
    :param together: whether to run all checks at the same time, for transports that mostly wait while they open and close.
    :raises AssertionError: a rule is broken. The message names the first broken rule and contains the transcript of the line.
    """
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: reports.append(context))
    case = _Case(make_pair=make_pair, eight_bit=eight_bit, half_close=half_close, bulk=bulk, reports=reports)
    try:
        if together:
            await asyncio.gather(*(_run(check, case) for check in _CHECKS))
        else:
            for check in _CHECKS:
                await _run(check, case)
    finally:
        loop.set_exception_handler(before)
    unexpected = [report for report in reports if "on purpose" not in str(report.get("exception"))]
    assert not unexpected, (
        f"the event loop's exception handler got errors that no receiver raised on purpose: {unexpected}"
    )


async def _run(check: Callable[[_Case], Awaitable[None]], case: _Case) -> None:
    try:
        await check(case)
    except AssertionError as failure:
        name = check.__name__.strip("_").replace("_", " ")
        raise AssertionError(f"{name}: {failure}") from failure


async def _do(hook: Hook) -> None:
    result = hook()
    if inspect.isawaitable(result):
        await result


# -- bytes ---------------------------------------------------------------------------------------------------


async def _line_made_comes_first_and_may_write(case: _Case) -> None:
    greeting = b"written from within line_made"
    async with case.ends(Recorder("first", greeting=greeting)) as (first, second, _pair):
        await second.until_received(greeting)
        info = first.line.info
        assert info.endpoint and info.kind, f"the line's info names neither endpoint nor kind: {info}"
        assert (info.baud is None) == (info.byte_rate is None), f"only one of baud and byte_rate is set in {info}"
        assert first.line.unsent() >= 0, "unsent() is negative"


async def _every_byte_value_passes(case: _Case) -> None:
    values = bytes(range(256)) if case.eight_bit else bytes(range(32, 127))
    async with case.ends() as (first, second, _pair):
        first.write(values)
        await second.until_received(values)
        second.write(values[::-1])
        await first.until_received(values[::-1])


async def _small_pieces_keep_their_order(case: _Case) -> None:
    forward, back = case.noise(20_000, 1), case.noise(20_000, 2)
    sizes = random.Random(3)
    async with case.ends() as (first, second, _pair):
        offset = 0
        while offset < len(forward):
            size = sizes.randint(1, 200)
            first.write(forward[offset : offset + size])
            second.write(back[offset : offset + size])
            offset += size
            if sizes.random() < 0.2:
                await asyncio.sleep(0)
        await second.until_received(forward)
        await first.until_received(back)


async def _bulk_passes_both_ways_at_the_same_time(case: _Case) -> None:
    forward, back = case.noise(case.bulk, 4), case.noise(case.bulk, 5)
    async with case.ends() as (first, second, _pair):
        first.write(forward)
        second.write(back)
        await second.until_received(forward)
        await first.until_received(back)
        await first.until(lambda: not first.paused, "a line that has sent everything should not stay paused")


async def _a_receiver_may_keep_its_buffers(case: _Case) -> None:
    back = case.noise(case.bulk // 4, 6)
    async with case.ends(Recorder("first", keep=True)) as (first, second, _pair):
        second.write(back)
        await first.until_received(back)


# -- a peer that does not read -------------------------------------------------------------------------------


async def _a_stalled_peer_causes_a_pause_and_loses_nothing(case: _Case) -> None:
    async with case.ends() as (first, second, pair):
        if pair.stall is None or pair.resume is None:
            return
        await _do(pair.stall)
        written = await _flood(case, first)
        assert first.line.unsent() > 0, "bytes that a stalled peer has not taken should show in unsent()"
        await _do(pair.resume)
        await second.until_received(written)
        await first.until(lambda: not first.paused, "resume_writing should follow once the peer reads again")


async def _close_ends_the_line_although_the_peer_is_stalled(case: _Case) -> None:
    async with case.ends() as (first, _second, pair):
        if pair.stall is None or pair.resume is None:
            return
        await _do(pair.stall)
        await _flood(case, first)
        first.close()
        started = asyncio.get_running_loop().time()
        await first.until_lost()
        took = asyncio.get_running_loop().time() - started
        await _do(pair.resume)
        assert took < _CLOSE_SECONDS, f"line_lost took {took:.1f} s after close() on a peer that does not read"


async def _flood(case: _Case, first: Recorder) -> bytes:
    """Write until the line asks for a pause that does not end. Earlier pauses may end when other buffers take the bytes."""
    piece = case.noise(32 << 10, 7)
    written = bytearray()
    while not first.paused:
        while not first.paused:
            assert len(written) < _FLOOD, f"the line took {_FLOOD} bytes for a stalled peer without a pause"
            first.write(piece)
            written += piece
            await asyncio.sleep(0.001)
        await asyncio.sleep(2 * _SETTLE_SECONDS)
    return bytes(written)


async def _pause_reading_delays_bytes_and_loses_none(case: _Case) -> None:
    piece = case.noise(case.bulk, 11)
    async with case.ends(Recorder("first", on_data=lambda end: end.line.pause_reading())) as (first, second, _pair):
        second.write(piece)
        await first.until(lambda: first.data, "the first bytes should be delivered")
        await asyncio.sleep(2 * _SETTLE_SECONDS)
        assert len(first.data) < len(piece), "all bytes were delivered although reading paused"
        while len(first.data) < len(piece):
            await _resume_and_wait(first)
        assert first.data == piece, "a pause to read changed the bytes"


async def _resume_and_wait(end: Recorder) -> None:
    had = len(end.data)
    end.line.resume_reading()
    await end.until(lambda: len(end.data) > had, "resume_reading should deliver more bytes")


# -- endings -------------------------------------------------------------------------------------------------


async def _close_sends_what_was_written_and_no_more(case: _Case) -> None:
    last = case.noise(case.bulk // 8, 8)
    async with case.ends() as (first, second, _pair):
        first.write(last)
        first.close()
        first.write(b"written after close")
        await first.until_lost()
        first.write(b"written after line_lost")
        assert first.line.unsent() == 0, "a closed line has nothing unsent"
        assert not first.line.send_break(), "a closed line sends no BREAK"
        assert first.error is None, f"closing reported {first.error}"
        await second.until_received(last)
        await _check_end(case, second, of=first)
        assert second.data == last, "bytes written after close() were sent"


async def _a_clean_end_of_the_peer_is_not_an_error(case: _Case) -> None:
    last = case.noise(5000, 9)
    async with case.ends() as (first, second, _pair):
        second.write(last)
        second.close()
        await second.until_lost()
        await first.until_received(last)
        await _check_end(case, first, of=second)


async def _check_end(case: _Case, end: Recorder, *, of: Recorder) -> None:
    if case.half_close:
        await end.until_lost()
        assert end.error is None, f"the other line reported the {of.name} line's clean end as {end.error}"
        assert "eof" in end.calls, f"eof_received should precede line_lost: {end.transcript()}"
    else:
        await asyncio.sleep(_SETTLE_SECONDS)
        assert not end.lost, f"the end of the {of.name} line ended the other, which cannot notice it: {end.error}"


async def _abort_ends_the_line_immediately(case: _Case) -> None:
    async with case.ends() as (first, _second, _pair):
        first.write(case.noise(case.bulk, 10))
        first.abort()
        first.write(b"written after abort")
        await first.until_lost()
        assert first.error is None, f"aborting reported {first.error}"


async def _a_second_close_or_abort_changes_nothing(case: _Case) -> None:
    async with case.ends() as (first, second, _pair):
        first.write(b"x")
        for _ in range(2):
            first.close()
        second.abort()
        second.close()
        first.abort()
        first.abort()
        await first.until_lost()
        await second.until_lost()
        first.close()
        second.abort()


async def _closing_from_within_data_received_works(case: _Case) -> None:
    for end in (Recorder.close, Recorder.abort):
        async with case.ends(Recorder("first", on_data=end)) as (first, second, _pair):
            second.write(b"the first piece")
            await first.until_lost()
            assert first.error is None, f"closing from within data_received reported {first.error}"


async def _a_cut_is_reported_once_as_broken(case: _Case) -> None:
    async with case.ends() as (first, second, pair):
        if pair.cut is None:
            return
        first.write(b"x")
        await second.until_received(b"x")
        await _do(pair.cut)
        await first.until_lost()
        assert isinstance(first.error, BrokenError), f"a cut was reported as {first.error!r} and not as BrokenError"


async def _a_failing_receiver_is_reported_and_ends_the_line(case: _Case) -> None:
    for call in ("data", "made"):
        async with case.ends(Recorder("first", fail_in=call)) as (first, second, _pair):
            if call == "data":
                second.write(b"the data that makes the receiver fail")
            await first.until_lost()
            assert isinstance(first.error, BrokenError), (
                f"a receiver that failed in {call} got {first.error!r} and not BrokenError"
            )
            reported = [str(report.get("exception")) for report in case.reports]
            assert any(f"fails in {call}" in text for text in reported), (
                f"the failure of a receiver in {call} did not reach the event loop's exception handler"
            )


_CHECKS: tuple[Callable[[_Case], Awaitable[None]], ...] = (
    _line_made_comes_first_and_may_write,
    _every_byte_value_passes,
    _small_pieces_keep_their_order,
    _bulk_passes_both_ways_at_the_same_time,
    _a_receiver_may_keep_its_buffers,
    _a_stalled_peer_causes_a_pause_and_loses_nothing,
    _close_ends_the_line_although_the_peer_is_stalled,
    _pause_reading_delays_bytes_and_loses_none,
    _close_sends_what_was_written_and_no_more,
    _a_clean_end_of_the_peer_is_not_an_error,
    _abort_ends_the_line_immediately,
    _a_second_close_or_abort_changes_nothing,
    _closing_from_within_data_received_works,
    _a_cut_is_reported_once_as_broken,
    _a_failing_receiver_is_reported_and_ends_the_line,
)
