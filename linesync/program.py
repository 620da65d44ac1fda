"""What every program of linesync does around its work: standard streams, signals, and the exit code.

- stdout that cannot be written gives one sentence on stderr and exit code 125. A reader that has gone (``| head -1``) gives
  exit code 141 without a sentence. If nothing had to be printed, the exit code is that of the work.
- Sentences for people that stderr does not take are dropped, and the exit code stays. What a remote command wrote to its
  stderr counts as output (:func:`write_output`).
- A signal that ends a process raises :class:`Terminated`, so that the work can clean up. Then the process ends by that signal.
- A descriptor from 0 to 2 that is closed would be reused for the next file or socket, which would then get our output. So it
  is opened in a way that refuses reading or writing, as a closed one does.
"""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import LinesyncError, LinesyncFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn, TextIO

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["FATAL", "OutputFailed", "Terminated", "read_stdin", "run_program", "write_output"]

_NAMES = {0: "stdin", 1: "stdout", 2: "stderr"}
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports it
_INTERRUPTED = 130  # 128 + SIGINT
FATAL = (
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGVTALRM,
    signal.SIGPROF,
)
"""The signals that end a process by default and that it can catch. Python itself handles SIGINT and ignores SIGPIPE."""


class Terminated(KeyboardInterrupt):
    """A signal ends this process. asyncio passes only exceptions like Ctrl-C's through its event loop.

    :ivar number: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class OutputFailed(LinesyncFailed):
    """stdout, or a remote command's stderr, cannot be written.

    :ivar silent: the reader has closed it, so there is nothing to report.
    """

    def __init__(self, descriptor: int, error: OSError) -> None:
        super().__init__(
            f"cannot write to {_NAMES[descriptor]}: {_reason(error)}; the command may have taken effect, so check that"
            f" before you run it again with another {_NAMES[descriptor]}"
        )
        self.silent = error.errno == errno.EPIPE
        if self.silent:
            self.exit_code = _BROKEN_PIPE


def _reason(error: OSError) -> str:
    if error.errno == errno.EBADF:
        return "it is closed"
    return error.strerror or str(error)


def _await(descriptor: int, event: int) -> None:
    """Wait until a descriptor can be read or written."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


class _Output(io.FileIO):
    """Our stdout or stderr. After an error it accepts and drops everything.

    :ivar failed: the error, or None.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.failed: OutputFailed | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        size = memoryview(data).nbytes
        if self.failed is not None:
            return size
        try:
            while (sent := super().write(data)) is None:  # another process has made it non-blocking
                _await(self.fileno(), select.POLLOUT)
            return sent
        except OSError as error:
            self.failed = OutputFailed(self.fileno(), error)
        if self.fileno() == 1:
            raise self.failed
        return size


class _Input(io.FileIO):
    """Our stdin. Its errors are sentences."""

    def __init__(self) -> None:
        super().__init__(0, "rb", closefd=False)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            while (size := super().readinto(buffer)) is None:  # another process has made it non-blocking
                _await(0, select.POLLIN)
            return size
        except OSError as error:
            raise _input_failed(error) from None

    read = io.RawIOBase.read  # type: ignore[assignment]  # that of FileIO does not use readinto


def _input_failed(error: OSError) -> LinesyncFailed:
    return LinesyncFailed(f"cannot read stdin: {_reason(error)}; redirect stdin from a file or a pipe that can be read")


def read_stdin(size: int) -> bytes | None:
    """Read at most ``size`` bytes of stdin as soon as there are some. Returns no bytes at its end, and None if there are none
    yet.

    :raises LinesyncFailed: it cannot be read.
    """
    try:
        return os.read(0, size)
    except BlockingIOError:
        return None
    except OSError as error:
        raise _input_failed(error) from None


def write_output(descriptor: int, data: bytes) -> None:
    """Print what a remote command wrote to its stdout (1) or stderr (2).

    :raises OutputFailed: ours cannot be written.
    """
    buffer = (sys.stdout if descriptor == 1 else sys.stderr).buffer
    buffer.write(data)
    buffer.flush()
    raw = getattr(buffer, "raw", None)
    if isinstance(raw, _Output) and raw.failed is not None:
        raise raw.failed


def run_program(work: Callable[[], int], report: Callable[[LinesyncError], None]) -> int:
    """Run the work of a program in its main thread.

    :param work: returns the exit code.
    :param report: prints an error on stderr.
    :return: the exit code. After a signal that ends a process, this does not return.
    """
    try:
        with _signals():
            with _standard_streams() as stdout:
                return _run(work, report, stdout)
    except Terminated as end:
        _end_by(end.number)


def _run(work: Callable[[], int], report: Callable[[LinesyncError], None], stdout: _Output | None) -> int:
    failed: LinesyncError | None = None
    code = 0
    try:
        try:
            code = work()
        except SystemExit as end:  # argparse has printed a help
            code = end.code if isinstance(end.code, int) else 0
        except LinesyncError as error:
            failed = error
        sys.stdout.flush()
    except OutputFailed as error:
        failed = error
    except KeyboardInterrupt as end:
        if isinstance(end, Terminated):
            raise
        return _INTERRUPTED
    except Exception:
        # Python would exit with 1, which may be the code of a remote command.
        import traceback

        traceback.print_exc()
        failed = LinesyncFailed("an unexpected error occurred in linesync; please report it with the lines above")
    if stdout is not None and stdout.failed is not None:
        failed = stdout.failed
    if failed is None:
        return code
    if not (isinstance(failed, OutputFailed) and failed.silent):
        report(failed)
    return failed.exit_code


def _end_by(number: int) -> NoReturn:
    """End this process by a signal, so that its parent sees what ended it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached


@contextmanager
def _signals() -> Iterator[None]:
    """Raise :class:`Terminated` on the first signal. Later ones must not interrupt the cleaning up; Ctrl-C may."""
    ended = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        if not ended:
            ended = True
            raise Terminated(number)

    ours = [number for number in FATAL if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def _standard_streams() -> Iterator[_Output | None]:
    """Use our streams instead of Python's, unless a test has already replaced them. Yields stdout."""
    if sys.stdout is not sys.__stdout__:
        yield None
        return
    before = sys.stdin, sys.stdout, sys.stderr
    for descriptor in (0, 1, 2):
        _fill(descriptor)
    stdout, stderr = _Output(1), _Output(2)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_Input()))
    sys.stdout = _text(stdout, before[1])
    sys.stderr = _text(stderr, before[2])
    try:
        yield stdout
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _fill(descriptor: int) -> None:
    """If a descriptor is closed, give it the end of a pipe that refuses what it is for. Those below it are open."""
    try:
        os.fstat(descriptor)
    except OSError:
        reader, writer = os.pipe()
        end = reader if descriptor else writer
        if end != descriptor:
            os.dup2(end, descriptor, inheritable=False)
        for other in {reader, writer} - {descriptor}:
            os.close(other)


def _text(raw: _Output, like: TextIO | None) -> io.TextIOWrapper:
    """A text stream that writes what the locale cannot express as an escape instead of failing."""
    buffering = isinstance(like, io.TextIOWrapper) and like.line_buffering
    encoding = like.encoding if like is not None else None
    errors = "surrogateescape" if raw.fileno() == 1 and (encoding or "").lower() == "utf-8" else "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=buffering or raw.fileno() == 2)
