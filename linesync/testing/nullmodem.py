"""A null-modem cable without hardware: the program ``tools/nullmodem``, and :class:`NullModem` for tests.

The program connects two ptys (:mod:`linesync.testing.pty_cable`) by a line with faults (:mod:`linesync.testing.cable`). Tests
run it as a separate process, so that Python's interpreter lock in the test does not disturb its timing.

The ptys are raw at the start, without echo. If a speed is given, the cable runs at this speed and ignores the settings of the
ptys. Otherwise it behaves like two UARTs: each end sends at the speed of its pty, and the other end receives garbage if its
pty has another speed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import Any, NoReturn, Self

from linesync.errors import BrokenError, ClosedError, LinesyncError, UsageError
from linesync.testing.cable import GROUP_S, Cable
from linesync.testing.cable_rates import CableRates
from linesync.testing.faults import Faults
from linesync.testing.pty_cable import PtyCable

__all__ = ["NullModem", "main"]

_PROGRAM = "nullmodem"
_EPILOG = """\
A fault applies to both directions. Append -ab or -ba to its option (--ber-ab 1e-5) to apply it to one direction only.
SIGUSR1 prints the counters on stderr. SIGUSR2 unplugs the cable, or plugs it in again. SIGINT and SIGTERM end the program
and print the counters. With --control, the program reads the lines "pull", "plug" and "counters" on stdin, answers each
with one line of JSON, and ends when stdin ends.
"""


@dataclass(frozen=True, slots=True)
class _Option:
    """The command-line option for a fault, with the functions that read its text and write its value."""

    flag: str
    field: str
    metavar: str | None
    help: str
    read: Callable[[str], object] = float
    write: Callable[[object], str] = str


def _window(text: str) -> tuple[float, float]:
    start, _, duration = text.partition(":")
    return float(start), float(duration)


_window.__name__ = "START:DURATION"  # argparse shows this name in its error


def _noisy(text: str) -> tuple[float, float]:
    baud, _, ber = text.partition(":")
    return float(baud), float(ber)


_noisy.__name__ = "BAUD:PROBABILITY"


def _milliseconds(text: str) -> float:
    return float(text) / 1000


_OPTIONS = (
    _Option("--ber", "ber", "P", "probability that a bit flips"),
    _Option("--drop", "drop", "P", "probability that a byte is lost"),
    _Option("--dup", "dup", "P", "probability that a byte arrives twice"),
    _Option("--burst", "burst", "P", "probability, for each byte, that a burst of garbage begins"),
    _Option("--burst-max", "burst_max", "N", "longest burst in bytes", int),
    _Option("--cut", "cuts", "START:DURATION", "lose all bytes for a time, in seconds; repeatable", _window),
    _Option(
        "--stuck-xoff", "stuck_xoff", "START:DURATION", "stop the flow for a time, in seconds; repeatable", _window
    ),
    _Option("--seven-bit", "seven_bit", None, "clear the eighth bit"),
    _Option("--eat-xonxoff", "eat_xonxoff", None, "remove XON and XOFF"),
    _Option("--crlf", "lf_to_crlf", None, "turn LF into CR LF"),
    _Option("--cr-to-lf", "cr_to_lf", None, "turn CR into LF"),
    _Option("--trim-blanks", "trim_blanks", None, "remove blanks at line ends"),
    _Option("--add-blanks", "add_blanks", "N", "add N blanks at line ends", int),
    _Option("--line-limit", "line_limit", "N", "cut lines at N bytes (4096: a canonical tty)", int),
    _Option("--printk", "printk", "RATE", "kernel messages per second, on average"),
    _Option(
        "--delay",
        "delay",
        "MS",
        "milliseconds that a byte travels",
        _milliseconds,
        lambda s: str(float(str(s)) * 1000),
    ),
)
_DIRECTIONS = ("", "-ab", "-ba")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {_PROGRAM} --help lists the options")


def _dest(option: _Option, direction: str) -> str:
    return (option.field + direction).replace("-", "_")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        allow_abbrev=False,
        description="Join two ptys by a serial cable with a speed and faults, until a signal ends the program.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--baud",
        type=float,
        help="the cable's speed in bits per second (ten for each byte), independent of the ptys' settings; without this"
        " option, each end has the speed that its pty is set to (115200 at the start), and bytes between different"
        " speeds arrive as garbage",
    )
    parser.add_argument("--max-baud", type=float, metavar="N", help="bytes at a higher speed arrive as garbage")
    parser.add_argument(
        "--noisy-above",
        type=_noisy,
        action="append",
        metavar="N:P",
        help="above speed N, bits flip with probability P; repeatable",
    )
    parser.add_argument("--link-a", metavar="PATH", help="make PATH a symbolic link to the first pty")
    parser.add_argument("--link-b", metavar="PATH", help="make PATH a symbolic link to the second pty")
    parser.add_argument("--json", action="store_true", help="print names and counters as one JSON object each")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides every random choice (default 0)")
    parser.add_argument("--echo", action="store_true", help="each end also receives what it sends")
    parser.add_argument(
        "--exec", metavar="CMD", help="run CMD with {a} and {b} replaced by the ptys' names; exit with its status"
    )
    parser.add_argument("--control", action="store_true", help="read commands on stdin; see below")
    faults = parser.add_argument_group("faults")
    for option in _OPTIONS:
        for direction in _DIRECTIONS:
            described = argparse.SUPPRESS if direction else option.help
            flag, dest = option.flag + direction, _dest(option, direction)
            if option.metavar is None:
                faults.add_argument(flag, dest=dest, action="store_true", default=None, help=described)
                continue
            action = "append" if option.read is _window else "store"
            faults.add_argument(
                flag, dest=dest, metavar=option.metavar, type=option.read, action=action, help=described
            )
    return parser


def _faults(options: argparse.Namespace, direction: str) -> Faults:
    chosen: dict[str, Any] = {}
    for option in _OPTIONS:
        for where in (direction, ""):
            value = getattr(options, _dest(option, where))
            if value is not None:
                chosen[option.field] = tuple(value) if isinstance(value, list) else value
                break
    return Faults(**chosen)


def _arguments(faults: Faults, direction: str) -> list[str]:
    """The command-line options for ``faults``: the inverse of :func:`_faults`."""
    found = []
    for option in _OPTIONS:
        value = getattr(faults, option.field)
        flag = option.flag + direction
        if option.metavar is None:
            found += [flag] if value else []
        elif option.read is _window:
            found += [f"{flag}={start}:{duration}" for start, duration in value]
        elif value is not None:
            found.append(f"{flag}={option.write(value)}")
    return found


def _table(counters: Mapping[str, Mapping[str, int]]) -> str:
    rows = [f"{'':14}{'a to b':>12}{'b to a':>12}"]
    for name in counters["ab"]:
        rows.append(f"{name.replace('_', ' '):14}{counters['ab'][name]:>12}{counters['ba'][name]:>12}")
    return "\n".join(rows)


class _Program:
    """The running program: the cable, the signals, the commands on stdin, and the child process of ``--exec``."""

    def __init__(self, cable: PtyCable, options: argparse.Namespace) -> None:
        self._cable = cable
        self._json: bool = options.json
        self._report = sys.stderr if options.exec else sys.stdout
        self._control = sys.stdin.fileno() if options.control else None
        self._unread = b""
        self._child: subprocess.Popen[bytes] | None = None
        self._command: str | None = options.exec
        self._stop = False

    def run(self) -> int:
        wakeup, wakeup_end = os.pipe()
        os.set_blocking(wakeup_end, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup_end)
        self._announce()
        if self._command:
            self._child = subprocess.Popen(self._command, shell=True)
        control = [] if self._control is None else [self._control]
        while not self._stop:
            watch, timeout = self._cable.turn()
            readable = select.select([wakeup, *control, *watch], [], [], timeout)[0]
            if wakeup in readable:
                for caught in os.read(wakeup, 64):
                    self._handle_signal(caught)
            if self._control in readable:
                self._read_commands()
        return self._finish()

    def _announce(self) -> None:
        a, b = self._cable.name("a"), self._cable.name("b")
        print(json.dumps({"a": a, "b": b}) if self._json else f"a: {a}\nb: {b}", file=self._report, flush=True)
        if self._command:
            self._command = self._command.replace("{a}", shlex.quote(a)).replace("{b}", shlex.quote(b))

    def _counters(self) -> str:
        counters = self._cable.counters()
        return json.dumps(counters) if self._json else _table(counters)

    def _handle_signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            print(self._counters(), file=sys.stderr, flush=True)
        elif number == signal.SIGUSR2:
            self._toggle(not self._cable.pulled)
        elif number == signal.SIGCHLD:
            self._stop = self._child is not None and self._child.poll() is not None
        else:
            self._stop = True

    def _toggle(self, pull: bool) -> None:
        if pull:
            self._cable.pull()
        else:
            self._cable.plug()

    def _read_commands(self) -> None:
        assert self._control is not None
        data = os.read(self._control, 4096)
        self._stop = self._stop or not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word = line.decode(errors="replace").strip()
            answer: dict[str, object]
            if word in ("pull", "plug"):
                self._toggle(word == "pull")
                answer = {"pulled": self._cable.pulled}
            elif word == "counters":
                answer = dict(self._cable.counters())
            else:
                answer = {"error": "usage", "message": f"invalid command {word!r}: expected pull, plug or counters"}
            print(json.dumps(answer), flush=True)

    def _finish(self) -> int:
        status = 0
        if self._child:
            self._child.terminate()
            status = self._child.wait()
        try:
            print(self._counters(), file=self._report, flush=True)
        except BrokenPipeError:
            pass  # the process that has started this program is gone
        return status if status >= 0 else 128 - status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program, and return its exit status. For an invalid option this is 2, with one sentence on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(arguments)
        if options.baud is not None and (options.max_baud is not None or options.noisy_above):
            raise UsageError("--baud sets a fixed speed; omit it, or omit --max-baud and --noisy-above")
        baud = 115200 if options.baud is None else options.baud
        byte_rate = baud / 10
        cable = Cable(
            _faults(options, "-ab"),
            _faults(options, "-ba"),
            echo=options.echo,
            seed=options.seed,
            byte_rate=byte_rate,
            capacity=max(16, ceil(byte_rate * 2 * GROUP_S)),
        )
        rates = None
        if options.baud is None:
            noisy = dict(options.noisy_above or ())
            rates = CableRates(cable, baud=baud, most=options.max_baud, noisy=noisy, seed=options.seed)
        ptys = PtyCable(cable, rates=rates, link_a=options.link_a, link_b=options.link_b)
    except LinesyncError as error:
        report = {"error": error.code, "message": error.message}
        print(json.dumps(report) if "--json" in arguments else f"{_PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    try:
        return _Program(ptys, options).run()
    finally:
        ptys.close()


class NullModem:
    """A null-modem cable in a separate process. Close it at the end, or use it as a context manager.

    :param baud: the speed in bits per second, ten for each byte; None to follow the speeds of the ptys.
    :param max_baud: with ``baud=None``, the speed above which bytes arrive as garbage, in bits per second.
    :param noisy_above: with ``baud=None``, pairs of a speed and the probability that a bit flips above this speed.
    :param faults: the faults of the direction a to b, and of the direction b to a unless ``faults_ba`` is given.
    :param echo: whether each end also receives the bytes that it sends.
    :param seed: decides every random choice.
    :param link_a: the path of a new symbolic link to end a, or None; ``link_b`` for end b.
    :ivar a: the device path of end a.
    :ivar b: the device path of end b.
    :raises UsageError: the program refuses the parameters.
    """

    def __init__(
        self,
        *,
        baud: float | None = 115200,
        max_baud: float | None = None,
        noisy_above: Sequence[tuple[float, float]] = (),
        faults: Faults | None = None,
        faults_ba: Faults | None = None,
        echo: bool = False,
        seed: int = 0,
        link_a: str | None = None,
        link_b: str | None = None,
    ) -> None:
        faults_ab = faults or Faults()
        command = [sys.executable, "-c", f"from {__name__} import main; raise SystemExit(main())"]
        command += ["--control", "--json", f"--seed={seed}"]
        command += [f"--baud={baud}"] if baud is not None else []
        command += [f"--max-baud={max_baud}"] if max_baud is not None else []
        command += [f"--noisy-above={limit}:{ber}" for limit, ber in noisy_above]
        command += ["--echo"] if echo else []
        command += [f"--link-a={link_a}"] if link_a else []
        command += [f"--link-b={link_b}"] if link_b else []
        command += _arguments(faults_ab, "-ab") + _arguments(faults_ba or faults_ab, "-ba")
        # The process has its own session, so that Ctrl-C at the terminal ends only the test. Its stdin then ends, and it ends.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        names = self._answer()
        self.a = str(names["a"])
        self.b = str(names["b"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pull(self) -> None:
        """Unplug the cable. Bytes are lost in both directions until :meth:`plug`."""
        self._send_command("pull")

    def plug(self) -> None:
        """Plug the cable in again."""
        self._send_command("plug")

    def counters(self) -> dict[str, dict[str, int]]:
        """The counters of each direction (``"ab"`` and ``"ba"``) by name: the counters of
        :class:`~linesync.testing.faults.Counters`, ``waiting`` and ``overrun``.
        """
        return self._send_command("counters")

    def close(self) -> None:
        """End the process. A second call does nothing."""
        if self._process.returncode is not None:
            return
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _send_command(self, word: str) -> dict[str, dict[str, int]]:
        if self._process.returncode is not None:
            raise ClosedError("this null modem is closed; make a new one")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # _answer() raises the error with the reason
        return self._answer()

    def _answer(self) -> dict[str, dict[str, int]]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            found: dict[str, dict[str, int]] = json.loads(line)
            return found
        _, output = self._process.communicate()
        if self._process.returncode == UsageError.exit_code:
            raise UsageError(str(json.loads(output)["message"]))
        raise BrokenError(f"the null modem's process has ended: {output.strip()[-500:]}")


if __name__ == "__main__":
    raise SystemExit(main())
