"""``linesync run``."""

from __future__ import annotations

import argparse
import os
import sys

from ...client.operations import Running
from ...errors import BrokenError, EndOfStream, LinesyncError, UsageError
from ..common import connection, print_json, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...client.blocking import BlockingClient

HELP = "run a command on a host; its output comes as it is written, its exit code becomes ours"
EXAMPLES = """\
  linesync run sut -- uname -r
  linesync run sut1,sut2 -- dmesg -w            lines begin with the host's name
  linesync run sut -i -- tar xf - < rootfs.tar  stdin goes to the command
  linesync run sut -C /tmp -e LANG=C --timeout 60 -- make check
"""
HINT = "write -- before the remote command, as in: linesync run sut -- uname -r"
_CHUNK = 1 << 15


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "linesync run HOST[,HOST...] [-i] [-C DIR] [-e K=V]... [--timeout S] -- ARGV..."
    parser.add_argument("hosts", metavar="HOST[,HOST...]", help="where; 'hub' is the controller itself")
    parser.add_argument("argv", metavar="ARGV", nargs="*", help="the command, after --")
    parser.add_argument("-i", dest="stdin", action="store_true", help="our stdin goes to the command")
    parser.add_argument("-C", dest="cwd", metavar="DIR", default="", help="run it in this directory")
    parser.add_argument("-e", dest="env", metavar="K=V", action="append", default=[], help="set a variable")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="end it after S seconds")


def run(args: argparse.Namespace) -> int:
    argv = args.argv + args.tail
    hosts = args.hosts.split(",")
    if not argv:
        raise UsageError("no command was given; name one after --, as in: linesync run sut -- uname -r")
    if not all(hosts):
        raise UsageError(f"{args.hosts!r} names an empty host; write HOST or HOST,HOST")
    env = dict(_pair(item) for item in args.env)
    with connection(args) as client:
        jobs = [_Job(client, host, argv, args, env, several=len(hosts) > 1) for host in hosts]
        if args.stdin:
            _Feeder(client, jobs)
        running = jobs
        while running := [job for job in running if not job.advance()]:
            client.peer.turn(None)
    for job in jobs:
        job.report(as_json=args.json)
    return next((job.exit_code for job in jobs if job.exit_code), 0)


def _pair(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise UsageError(f"-e {item} is not K=V")
    return key, value


class _Job:
    """The command on one host."""

    def __init__(
        self,
        client: BlockingClient,
        host: str,
        argv: list[str],
        args: argparse.Namespace,
        env: dict[str, str],
        *,
        several: bool,
    ) -> None:
        self.host = host
        self.exit_code = 0
        self._prefix = f"{host}: ".encode() if several else b""
        self._json = args.json
        self._error: LinesyncError | None = None
        self._partial = {1: b"", 2: b""}
        self._captured = {1: bytearray(), 2: bytearray()}
        self._over = False
        self.stream = client.operations.start(
            host, argv, cwd=args.cwd, env=env, stdin=args.stdin, timeout=args.timeout, tell=True
        )
        self._running = Running(self.stream)

    def advance(self) -> bool:
        """Take what has come; True when the command is over."""
        from ...runtime.streams import MESSAGE

        try:
            while not self._over and (item := self.stream.receive_nowait()) is not None:
                if item.stream == MESSAGE:
                    self._heard(item.data.decode("utf-8", "replace"))
                else:
                    self._output(item.stream, item.data)
        except (BrokenError, EndOfStream) as error:
            self._fail(self._running.lost(error))
        return self._over

    def _heard(self, text: str) -> None:
        try:
            result = self._running.heard(text)
            if result is not None:
                self.exit_code = result.exit_code
                self._end()
        except LinesyncError as error:
            self._fail(error)

    def _fail(self, error: LinesyncError) -> None:
        self._error = error
        # The command's own codes are all others: linesync's failures are 2 and 124 to 127 (125 for a lost host).
        self.exit_code = error.exit_code if error.exit_code in (2, 124, 126, 127) else 125
        self._end()

    def _end(self) -> None:
        for number, rest in self._partial.items():
            if rest:
                _write(number, self._prefix + rest + b"\n")
        self._over = True

    def _output(self, number: int, data: bytes) -> None:
        if self._json:
            self._captured[number] += data
        elif not self._prefix:
            _write(number, data)
        else:
            *lines, self._partial[number] = (self._partial[number] + data).split(b"\n")
            _write(number, b"".join(self._prefix + line + b"\n" for line in lines))

    def report(self, *, as_json: bool) -> None:
        """Say what there is to say at the end."""
        if as_json:
            print_json(
                {
                    "host": self.host,
                    "exit_code": self.exit_code,
                    "stdout": _text(self._captured[1]),
                    "stderr": _text(self._captured[2]),
                    **({"error": self._error.code, "message": self._error.message} if self._error else {}),
                }
            )
        elif self._error is not None:
            print(f"linesync: {self._error.message}", file=sys.stderr)


class _Feeder:
    """Carries our stdin to the commands, no faster than the slowest takes it."""

    def __init__(self, client: BlockingClient, jobs: list[_Job]) -> None:
        self._peer = client.peer
        self._jobs = jobs
        self._watch()

    def _watch(self) -> None:
        self._peer.watch(0, self._readable)

    def _readable(self) -> None:
        streams = [job.stream for job in self._jobs if job.stream.broken is None]
        if any(stream.full for stream in streams):
            self._peer.watch(0, None)
            self._peer.on_turn(self._look_again)
            return
        data = os.read(0, _CHUNK)
        for stream in streams:
            if data:
                stream.send_nowait(0, data)
            else:
                stream.end()
        if not data:
            self._peer.watch(0, None)

    def _look_again(self) -> bool:
        """After each turn: has everybody room again?"""
        if any(job.stream.full for job in self._jobs):
            return False
        self._watch()
        return True


def _write(number: int, data: bytes) -> None:
    out = sys.stdout.buffer if number == 1 else sys.stderr.buffer
    out.write(data)
    out.flush()


def _text(data: bytearray) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        from base64 import b64encode

        return {"base64": b64encode(data).decode()}
