"""The frame of every program of linesync: standard streams, signals and the exit code.

- If stdout cannot be written, the program prints one sentence on stderr and ends with exit code 125. If the reader of stdout
  has ended (``| head -1``), the exit code is 141 and there is no sentence. If there was nothing to print, the exit code is
  that of the work.
- If stderr cannot be written, sentences for people are dropped, and the exit code does not change. The stderr of a remote
  command counts as output (:func:`write_output`).
- A signal that ends a process raises :class:`Terminated`, so that the work can clean up. The process then ends by that signal.
- If a descriptor from 0 to 2 is closed, the next file or socket would get its number, and then the output of the program. The
  program therefore opens such a descriptor in a way that refuses reading or writing, like a closed descriptor.
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
    """A signal ends this process. It is a KeyboardInterrupt, because asyncio passes only such exceptions through its loop.

    :ivar number: the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class OutputFailed(LinesyncFailed):
    """stdout, or a remote command's stderr, cannot be written.

    :ivar silent: whether the reader has closed the stream, which is not reported.
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
    """The stdout or stderr of this process. After an error it accepts and drops all data.

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
            while (sent := super().write(data)) is None:  # another process has made the descriptor non-blocking
                _await(self.fileno(), select.POLLOUT)
            return sent
        except OSError as error:
            self.failed = OutputFailed(self.fileno(), error)
        if self.fileno() == 1:
            raise self.failed
        return size


class _Input(io.FileIO):
    """The stdin of this process. Its errors are LinesyncFailed with a sentence."""

    def __init__(self) -> None:
        super().__init__(0, "rb", closefd=False)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            while (size := super().readinto(buffer)) is None:  # another process has made the descriptor non-blocking
                _await(0, select.POLLIN)
            return size
        except OSError as error:
            raise _input_failed(error) from None

    read = io.RawIOBase.read  # type: ignore[assignment]  # the method of FileIO does not use readinto


def _input_failed(error: OSError) -> LinesyncFailed:
    return LinesyncFailed(f"cannot read stdin: {_reason(error)}; redirect stdin from a file or a pipe that can be read")


def read_stdin(size: int) -> bytes | None:
    """Read the next bytes of stdin.

    :param size: the maximum number of bytes.
    :returns: the bytes; b"" at the end; None if stdin is non-blocking and has no bytes yet.
    :raises LinesyncFailed: stdin cannot be read.
    """
    try:
        return os.read(0, size)
    except BlockingIOError:
        return None
    except OSError as error:
        raise _input_failed(error) from None


def write_output(descriptor: int, data: bytes) -> None:
    """Print the output of a remote command.

    :param descriptor: 1 for stdout, 2 for stderr.
    :raises OutputFailed: the stdout or stderr of this process cannot be written.
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
        except SystemExit as end:  # argparse has printed the help or an error
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
        # Without this, Python would exit with 1, which can also be the exit code of a remote command.
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
    """End this process by a signal, so that its parent sees the signal."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # not reached


@contextmanager
def _signals() -> Iterator[None]:
    """Raise :class:`Terminated` on the first signal. Later signals do not interrupt the cleanup, but Ctrl-C does."""
    ended = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        if not ended:
            ended = True
            raise Terminated(number)

    handled = [number for number in FATAL if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in handled:
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def _standard_streams() -> Iterator[_Output | None]:
    """Replace Python's standard streams, unless a test has already replaced them. Yields the new stdout, or None."""
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
    """If a standard descriptor is closed, open it as a pipe end that fails: stdin as a write end, the others as a read end.

    The descriptors with lower numbers are open.
    """
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
    """A text stream for stdout or stderr. A character that the locale cannot express is written as an escape.

    :param like: Python's own stream, whose encoding and buffering are used.
    """
    buffering = isinstance(like, io.TextIOWrapper) and like.line_buffering
    encoding = like.encoding if like is not None else None
    errors = "surrogateescape" if raw.fileno() == 1 and (encoding or "").lower() == "utf-8" else "backslashreplace"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=buffering or raw.fileno() == 2)
