"""Starts a command as another user: with the groups and the environment of this user, and in the home directory."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Collection, Mapping, Sequence

from .user import environment_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from typing import NoReturn

__all__ = ["StartError", "path_of", "spawn_as"]

_FAILED = struct.Struct("=cq")


class StartError(Exception):
    """The command was not started.

    :ivar letter: the failed step, as in ``handover.PACKET``: ``a``, ``d`` or ``f``.
    :ivar number: the errno.
    """

    def __init__(self, letter: bytes, number: int) -> None:
        super().__init__(letter, number)
        self.letter = letter
        self.number = number


def path_of(descriptor: int) -> bytes:
    """A path that opens the file of a descriptor again."""
    return b"/proc/self/fd/%d" % descriptor


def spawn_as(
    user: str,
    argv: Sequence[bytes],
    env: Mapping[bytes, bytes],
    *,
    cwd: bytes,
    streams: Sequence[int],
    terminal: bool = False,
    defaults: Collection[int],
) -> int:
    """Start a command in a new session, and return its pid. The search for the user may block.

    :param user: the name of the user.
    :param env: variables that are added to the environment of the user.
    :param cwd: the working directory, relative to the home directory; empty for the home directory, or for ``/`` if the user
        cannot enter it.
    :param streams: the descriptors for stdin, stdout and stderr.
    :param terminal: whether the streams are a terminal. It then belongs to the user, and becomes the controlling terminal of
        the command.
    :param defaults: the signals that get their default action.
    :raises StartError: the user does not exist, this process may not become the user, or the command cannot be executed.
    """
    from pwd import getpwnam

    try:
        entry = getpwnam(user)
    except (KeyError, ValueError):
        raise StartError(b"a", 0) from None
    own = {os.fsencode(name): os.fsencode(value) for name, value in environment_of(entry).items()}
    variables = {**own, **env}
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
        if not pid:
            _become(writer, entry, streams[0] if terminal else -1)
            _enter(writer, os.fsencode(entry.pw_dir), cwd)
            _execute(writer, argv, variables, streams, defaults)
        os.close(writer)
        writer = -1
        failed = os.read(reader, _FAILED.size)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if failed:
        os.waitpid(pid, 0)
        raise StartError(*_FAILED.unpack(failed))
    return pid


# -- in the child process ----------------------------------------------------------------------------------------------


def _fail(writer: int, letter: bytes, error: OSError) -> NoReturn:
    os.write(writer, _FAILED.pack(letter, error.errno or 0))
    os._exit(127)


def _become(writer: int, entry: pwd.struct_passwd, terminal: int) -> None:
    """Begin a new session on the terminal, if any, and change the user. Only root can become another user."""
    try:
        os.setsid()
        if terminal >= 0:  # the first terminal that the leader of a new session opens becomes its controlling terminal
            os.close(os.open(path_of(terminal), os.O_RDWR))
            if os.geteuid() == 0:
                os.fchown(terminal, entry.pw_uid, -1)
        if os.geteuid() == 0 or os.geteuid() != entry.pw_uid:
            os.initgroups(entry.pw_name, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
    except OSError as error:
        _fail(writer, b"a", error)


def _enter(writer: int, home: bytes, cwd: bytes) -> None:
    try:
        os.chdir(home)
    except OSError:
        os.chdir("/")
    if cwd:
        try:
            os.chdir(os.path.join(home, cwd[2:]) if cwd[:2] == b"~/" else home if cwd == b"~" else cwd)
        except OSError as error:
            _fail(writer, b"d", error)


def _execute(
    writer: int, argv: Sequence[bytes], env: Mapping[bytes, bytes], streams: Sequence[int], defaults: Collection[int]
) -> NoReturn:
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for name in defaults:
            signal.signal(name, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], list(argv), dict(env))
    except OSError as error:
        _fail(writer, b"f", OSError(errno.ENOENT, "") if error.errno == errno.ENOTDIR else error)
