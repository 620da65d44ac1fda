"""``dissem``: its command line, output and exit codes.

Options come from the configuration files, then from DISSEM_FLAGS, then from the command line. The last value of an option
counts. In a file, each line is one argument (``--port=11399``), and lines that begin with ``#`` are comments.

With two arguments, the name determines the kind of object, as in dissem's README. A name that begins with SEM is a semaphore.
A name that begins with BR, BAR or BE (``BE001`` in the README) is a barrier. Lower case has the same meaning. ``BE001`` and
``BR001`` are two different barriers.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from ..errors import BrokenError, LinesyncError, LinesyncFailed, UsageError
from ..frozen_record import Record
from ..numbers import read_whole
from .program import connect, namespace, options, run

__all__ = ["Request", "arguments", "main", "parse"]

CONFIG_FILES = ("/etc/dissem.conf", "/usr/local/etc/dissem.conf", "~/.dissem.conf")
PORT = 11399

_USAGE = "dissem [OPTION...] sem|barrier NAME COUNT, or dissem SEM001 -1, or dissem BR001 2"
_HELP = f"""\
usage: {_USAGE}

  sem|sema|semaphore NAME DELTA   -N takes N units or waits for them, +N gives N
                                  units, 0 prints the number of units
  barrier|br NAME COUNT           wait until COUNT parties have arrived

  --command S, --object S   the object: sem or barrier
  --name S, --count N       its name, and the number
  --address, -A HOST        the hub's host (default: localhost)
  --port, -p PORT           the hub's TCP port (default: {PORT})
                            LINESYNC_HUB has precedence over both; without all
                            three, dissem uses the same hub or agent as linesync
  --block-on-error, -H      after an error, print it and do not exit
  --verbose, -v; --quiet, -q

  also read from DISSEM_FLAGS (options, or @FILE) and {", ".join(CONFIG_FILES)}
"""
_SEMAPHORE, _BARRIER = "semaphore", "barrier"
_OBJECTS = {"sem": _SEMAPHORE, "sema": _SEMAPHORE, "semaphore": _SEMAPHORE, "barrier": _BARRIER, "br": _BARRIER}
_BY_NAME = ((re.compile("sem", re.IGNORECASE), _SEMAPHORE), (re.compile("br|be|bar", re.IGNORECASE), _BARRIER))
_LONG = (
    *("address=", "addr=", "port=", "command=", "object=", "name=", "count="),
    *("block-on-error", "verbose", "quiet", "help", "server", "listen="),
)


class Request(Record):
    """The request of a command line."""

    object: str
    """``semaphore`` or ``barrier``; empty if the command line only asks for help."""
    name: str
    count: int
    endpoint: str = ""
    """The hub's endpoint; if it is empty, the endpoint that all linesync commands use."""
    stays: bool = False
    """After an error, the process prints it and does not exit."""
    verbose: int = 0


def arguments(argv: Sequence[str], environ: Mapping[str, str], files: Sequence[str] = CONFIG_FILES) -> list[str]:
    """The arguments from files, from DISSEM_FLAGS and from the command line, in this order."""
    flags = environ.get("DISSEM_FLAGS", "")
    found: list[str] = []
    for path in [os.path.expanduser(file) for file in files] + ([flags[1:]] if flags.startswith("@") else []):
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except OSError:
            continue  # like dissem, which ignores files that it cannot read
        found += [line for line in lines if line and not line.startswith("#")]
    return [*found, *([] if flags.startswith("@") else flags.split()), *argv]


def parse(argv: Sequence[str]) -> Request:
    """The request that these arguments describe.

    :raises UsageError: the arguments are not valid for dissem.
    """
    given_options, arguments = options(argv, "A:p:Hvqh", _LONG, _USAGE)
    words: dict[str, str] = {}
    verbose, stays = 0, False
    for option, value in given_options:
        match option:
            case "-h" | "--help":
                return Request(object="", name="", count=0)
            case "--server" | "--listen":
                raise UsageError(
                    f"this dissem has no server of its own; start the hub, 'linesync hub --listen tcp://HOST:{PORT}'"
                )
            case "-v" | "--verbose":
                verbose += 1
            case "-q" | "--quiet":
                verbose = max(verbose - 1, 0)
            case "-H" | "--block-on-error":
                stays = True
            case "-A" | "--address" | "--addr":
                words["address"] = value
            case "-p" | "--port":
                words["port"] = str(_number("port", value, 1, 65535))
            case "--command" | "--object":
                words["object"] = value
            case "--name" | "--count":
                words[option[2:]] = value
    kind, name, count = _object_of(words, arguments)
    if kind == _BARRIER and count < 1:
        raise UsageError(f"invalid count {count} of the barrier {name}: expected 1 or more parties")
    return Request(
        object=kind, name=name, count=count, endpoint=_endpoint(words), stays=stays, verbose=verbose
    )  # fmt: skip


def _object_of(words: Mapping[str, str], rest: Sequence[str]) -> tuple[str, str, int]:
    """The kind of object (``semaphore`` or ``barrier``), its name and the number."""
    if words.get("object") and words.get("name"):
        kind, name, count = words["object"], words["name"], words.get("count", "0")
    elif len(rest) == 3:
        kind, name, count = rest
    elif len(rest) == 2:
        name, count = rest
        kind = next((kind for pattern, kind in _BY_NAME if pattern.match(name)), "")
        if not kind:
            raise UsageError(
                f"the name {name} does not show the kind of object; begin it with SEM or BR, or write"
                f" 'dissem sem {name} {count}'"
            )
    else:
        raise UsageError(f"dissem needs an object, its name and a number; usage: {_USAGE}")
    if kind not in _OBJECTS:
        raise UsageError(f"bad object: {kind}; expected sem or barrier")
    return _OBJECTS[kind], name, _number("count", count)


def _number(noun: str, text: str, least: int = -(10**18), most: int = 10**18) -> int:
    return read_whole(text, noun, least, most)


def _endpoint(words: Mapping[str, str]) -> str:
    # LINESYNC_HUB has precedence, so that scripts with the address of dissem's server run unchanged without a network.
    if os.environ.get("LINESYNC_HUB") or not words.keys() & {"address", "port"}:
        return ""
    address = words.get("address", "localhost")
    return f"tcp://{f'[{address}]' if ':' in address else address}:{words.get('port', PORT)}"


def _do(request: Request) -> int:
    if not request.object:
        print(_HELP, end="")
        return 0
    if request.verbose:
        print(
            f"dissem: {request.object} {request.name} {request.count} at {request.endpoint or 'the hub'}",
            file=sys.stderr,
        )
    with connect("dissem", request.endpoint) as client:
        if request.object == _SEMAPHORE:
            print(client.semaphore(request.name, request.count, namespace=namespace("dissem")))
        else:
            client.barrier(request.name, request.count, namespace=namespace("dissem"))
    return 0


def main(program: str, argv: Sequence[str], wait: Callable[[], object] = signal.pause) -> int:
    """Run dissem.

    :param wait: called in an endless loop after an error with ``-H``.
    :return: the exit code. 0: done; 1: refused, or a wrong command line; 3: no hub, or the connection to it was lost.
    """
    stays = False

    def work(words: list[str]) -> int:
        nonlocal stays
        request = parse(arguments(words, os.environ))
        stays = request.stays
        return _do(request)

    def like_dissem(words: list[str]) -> int:
        try:
            return work(words)
        except LinesyncError as error:
            print(f"{program}: {error.message}", file=sys.stderr, flush=True)
            while stays:
                wait()
            return 3 if isinstance(error, LinesyncFailed | BrokenError) else 1

    return run(program, like_dissem, argv)
