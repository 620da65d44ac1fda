"""``linesync status --watch``: shows the changes of the state."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

from ...errors import BrokenError, EndOfStream
from ...program import OutputFailed
from ..common import print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...client.changes import Following
    from ...client.deadlines import Deadline
    from ...model.state.change import Change
    from ...model.state.status import Status

__all__ = ["following", "in_words", "watch"]

_NUMBERS = {
    "barrier": "generation",
    "exchange": "generation",
    "lock": "token",
    "message": "number",
    "round": "epoch",
    "semaphore": "value",
    "service": "service",
    "view": "epoch",
}
"""The meaning of a change's value, by the first word of the change's kind."""
_SOONEST = 0.5  # least seconds between two drawings of the tables
_LATEST = 5.0  # seconds after which the tables are drawn again without a change, because they show ages
_RECENT = 5  # the number of changes that are shown below the tables


def watch(
    client: BlockingClient,
    show: Callable[[Status], None],
    deadline: Deadline,
    *,
    as_json: bool,
    wanted: Callable[[Change], bool] = lambda change: True,
) -> int:
    """Print each change as a line, until the hub ends the channel. On a terminal, print the state again after changes.

    :param show: prints the state.
    :param wanted: whether to print a change.
    :return: exit code 0.
    :raises TimedOut: the deadline has passed.
    """
    if not as_json and sys.stdout.isatty():
        return _redraw(client, show, deadline, wanted)
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        client.peer.watch(1, _reader_left)  # otherwise, only the next change would show that the reader has left
    with following(client, deadline) as followed:
        while True:
            while (change := followed.next_nowait()) is not None:
                if not wanted(change):
                    continue
                if as_json:
                    print_json(change.as_json())
                else:
                    print(in_words(change))
                sys.stdout.flush()
            deadline.check("the changes of the state")
            client.peer.turn(deadline.left)
    return 0


@contextlib.contextmanager
def following(client: BlockingClient, deadline: Deadline) -> Iterator[Following]:
    """Follow the changes during a block, which also ends when the hub ends the channel."""
    following: Following = client.run_coroutine(client.operations.changes(timeout=deadline.left))
    try:
        yield following
    except EndOfStream:
        pass
    except BrokenError:
        following.next_nowait()  # raises the error about the changes
        raise
    finally:
        following.close()


def _reader_left() -> None:
    raise OutputFailed(1, BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))


def in_words(change: Change) -> str:
    """The line for a change.

    Example: ``2026-11-29T09:30:00.123Z lock taken: flash, sut, token 17; by script 3 on sut, line /dev/ttyS0``.
    """
    name = change.name if change.namespace in ("", "default") else f"{change.namespace}/{change.name}".rstrip("/")
    parts = [name, change.who if change.who != change.name else ""]
    if change.value is not None:
        number = _NUMBERS.get(change.kind.partition(" ")[0], "")
        parts.append(f"{number} {change.value}".strip())
    facts = ", ".join(part for part in parts if part)
    why = f"; {change.why}" if change.why else ""
    author = f"; by {change.by}" if change.by is not None else ""
    return f"{change.time} {change.kind}: {facts}{why}{author}"


def _redraw(
    client: BlockingClient, show: Callable[[Status], None], deadline: Deadline, wanted: Callable[[Change], bool]
) -> int:
    recent: deque[str] = deque(maxlen=_RECENT)
    drawn, changed = float("-inf"), True
    with following(client, deadline) as followed:
        while True:
            while (change := followed.next_nowait()) is not None:
                if wanted(change):
                    recent.append(in_words(change))
                    changed = True
            elapsed = time.monotonic() - drawn
            if elapsed >= (_SOONEST if changed else _LATEST):
                text = io.StringIO()
                with contextlib.redirect_stdout(text):
                    show(client.status(timeout=deadline.left))
                _draw([*text.getvalue().splitlines(), "", *recent])
                drawn, changed = time.monotonic(), False
                continue
            deadline.check("the state")
            wait = (_SOONEST if changed else _LATEST) - elapsed
            client.peer.turn(wait if deadline.left is None else min(wait, deadline.left))
    return 0


def _draw(lines: list[str]) -> None:
    """Replace the contents of the terminal. Lines that do not fit are cut, so that the terminal does not scroll."""
    size = shutil.get_terminal_size()
    if len(lines) >= size.lines:
        visible_rows = max(size.lines - 2, 0)
        lines = [
            *lines[:visible_rows],
            f"... {len(lines) - visible_rows} more lines; enlarge the terminal, or use 'linesync status'",
        ]
    shown = "".join(f"{line[: max(size.columns - 1, 1)]}\x1b[K\n" for line in lines)
    sys.stdout.write(f"\x1b[H{shown}\x1b[J")
    sys.stdout.flush()
