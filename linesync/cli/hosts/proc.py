"""``linesync proc``."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress

from ... import protocol
from ...errors import LinesyncError, LinesyncFailed, UsageError
from ...numbers import read_whole
from ...program import read_stdin, write_output
from ...signals import signal_number
from ..common import argument_type, bytes_as_json, connection, print_json, print_notice, table, timeout_option
from .passed_signals import PassedSignals
from .running import exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient
    from ...client.jobs.detached import Attachment
    from ...model.state.process import ProcessState

HELP = "list the detached processes of hosts, attach to one, wait for one, show its output, or end it"
EXAMPLES = """\
  linesync run sut --detach -- make check      prints the handle of the process, such as sut/3
  linesync proc ls                             the detached processes of all hosts
  linesync proc wait sut/3 --timeout 600       wait for its end, and exit with its exit code
  linesync proc log sut/3 --tail 20            the last 20 lines of its output
  linesync proc log sut/3 -f                   its output, and new output as it arrives
  linesync proc attach sut/3 -i                the same, and pass stdin and signals to it; Ctrl-C detaches
  linesync proc kill sut/3                     end all its processes: SIGTERM, then SIGKILL after 3 s
  linesync proc kill sut/3 -s HUP              send a signal to all its processes
"""
_ACTIONS = ("ls", "attach", "wait", "log", "kill")
_PASSED = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that 'attach' passes to the process."""
_CHUNK = 1 << 15


@argument_type
def _lines(text: str) -> int:
    """A number of lines."""
    return read_whole(text, "number of lines", 0, 10**9, "lines")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = """\
linesync proc ls [HOST]
       linesync proc attach PROC [-i] [--tail N]
       linesync proc wait PROC [--timeout S]
       linesync proc log PROC [-f] [--tail N]
       linesync proc kill PROC [-s SIG]"""
    parser.add_argument("action", metavar="|".join(_ACTIONS), choices=_ACTIONS, help="the action")
    parser.add_argument(
        "process", metavar="PROC", nargs="?", default="", help="the handle of the process, as in sut/3; with ls: a host"
    )
    parser.add_argument("-i", dest="stdin", action="store_true", help="with attach: pass stdin to the process")
    parser.add_argument("-f", "--follow", action="store_true", help="with log: show new output until the process ends")
    parser.add_argument(
        "--tail", metavar="N", type=_lines, help="with attach or log: only the last N lines of the kept output"
    )
    parser.add_argument(
        "-s",
        dest="signal",
        metavar="SIG",
        help="with kill: send this signal, by name or number, instead of ending the process",
    )
    timeout_option(parser)


def run(args: argparse.Namespace) -> int:
    for option, actions in (
        ("stdin", ("attach",)),
        ("follow", ("log",)),
        ("tail", ("attach", "log")),
        ("signal", ("kill",)),
    ):
        if getattr(args, option) not in (None, False) and args.action not in actions:
            raise UsageError(f"{_OPTIONS[option]} is only for 'linesync proc {' and '.join(actions)}'")
    if not args.process and args.action != "ls":
        raise UsageError(f"there is no process; write its handle, as in: linesync proc {args.action} sut/3")
    number = signal_number(args.signal) if args.signal is not None else 0
    with connection(args) as client:
        if args.action == "ls":
            return _list(args, client)
        if args.action == "kill":
            client.kill_process(args.process, number, timeout=args.deadline.left)
            return 0
        if args.action == "log" and not args.follow:
            return _log(args, client)
        return _follow(args, client)


_OPTIONS = {"stdin": "-i", "follow": "-f", "tail": "--tail", "signal": "-s"}


# -- the list ---------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace, client: BlockingClient) -> int:
    if args.process:
        found = client.processes(args.process, timeout=args.deadline.left)
    else:
        found = client.processes("hub", timeout=args.deadline.left)
        for host in client.hosts(timeout=args.deadline.left):
            if host.state != "up":
                print_notice(
                    f"the processes of {host.name} are not listed, because it is {host.state}", as_json=args.json
                )
                continue
            try:
                found += client.processes(host.name, timeout=args.deadline.left)
            except LinesyncFailed as error:  # it was lost just now, or its version is too old
                print_notice(f"the processes of {host.name} are not listed: {error.message}", as_json=args.json)
    if args.json:
        print_json([process.as_json() for process in found])
        return 0
    rows = [
        (
            process.process,
            process.state,
            _end_of(process),
            process.pid,
            "-" if process.seconds is None else _span(process.seconds),
            process.user or "-",
            " ".join(" ".join(process.argv).split()),
        )
        for process in found
    ]
    table(("PROC", "STATE", "EXIT", "PID", "TIME", "USER", "COMMAND"), [tuple(map(_printable, row)) for row in rows])
    return 0


def _end_of(process: ProcessState) -> str:
    if process.cause:
        return process.cause
    return "-" if process.exit_code is None else str(process.exit_code)


def _span(seconds: float) -> str:
    whole = max(int(seconds), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _printable(cell: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(cell))


# -- output and the end -----------------------------------------------------------------------------------------------


def _dropped(process: str, size: int) -> str:
    return f"the host has dropped {size} bytes of the output of {process}"


def _log(args: argparse.Namespace, client: BlockingClient) -> int:
    kept = client.process_log(args.process, tail=args.tail, timeout=args.deadline.left)
    if args.json:
        facts = {"process": args.process, "dropped": kept.dropped, "position": kept.position}
        print_json({**facts, "stdout": bytes_as_json(kept.stdout), "stderr": bytes_as_json(kept.stderr)})
        return 0
    if kept.dropped:
        print_notice(_dropped(args.process, kept.dropped), as_json=False)
    for number, data in kept.pieces:
        write_output(number, data)
    return 0


def _follow(args: argparse.Namespace, client: BlockingClient) -> int:
    """Wait for the end of a process, and print its output as it arrives."""
    captured = {1: bytearray(), 2: bytearray()}

    def show(number: int, data: bytes) -> None:
        if args.json:
            captured[number] += data
        else:
            write_output(number, data)

    def dropped(size: int) -> None:
        print_notice(_dropped(args.process, size), as_json=args.json)

    def lost(why: str) -> None:
        host = args.process.partition("/")[0]
        print_notice(f"waiting for {host}, where {args.process} may continue: {why}", as_json=args.json)

    shows = args.action != "wait"
    error: LinesyncError | None = None
    try:
        attachment = client.attach_process(
            args.process, tail=args.tail, output=shows, stdin=args.stdin, on_dropped=dropped, on_lost=lost
        )
        passed = _PASSED if args.action == "attach" else ()
        with PassedSignals(client.peer, lambda: [attachment.stream], passed):
            if args.stdin:
                _Feeder(client, attachment)
            result = client.follow_process(attachment, show if shows else None, timeout=args.deadline.left)
        code = result.exit_code
    except LinesyncError as failure:
        error, code = failure, exit_code(failure)
    if args.action == "log" and error is None:
        code = 0
    if args.json:
        outputs = {"stdout": bytes_as_json(captured[1]), "stderr": bytes_as_json(captured[2])} if shows else {}
        report = {"error": error.code, "message": error.message} if error is not None else {}
        print_json({"process": args.process, "exit_code": code, **outputs, **report})
    elif error is not None:
        print(f"linesync: {error.message}", file=sys.stderr)
    return code


class _Feeder:
    """Sends our stdin to a process."""

    def __init__(self, client: BlockingClient, attachment: Attachment) -> None:
        self._peer = client.peer
        self._stream = attachment.stream
        self._peer.watch(0, self._readable)

    def _readable(self) -> None:
        if self._stream.full:
            self._peer.watch(0, None)
            self._peer.on_turn(self._resume)
            return
        data = read_stdin(_CHUNK)
        if data is None:
            return
        with suppress(LinesyncError):  # the process has ended, or cannot be reached any more
            if data:
                self._stream.send_nowait(0, data)
            else:
                self._stream.send_message(protocol.encode(protocol.DataEnd()))
        if not data:
            self._peer.watch(0, None)

    def _resume(self) -> bool:
        """Called after each turn: read stdin again if the channel has room. Returns True if it does."""
        if self._stream.full:
            return False
        self._peer.watch(0, self._readable)
        return True
