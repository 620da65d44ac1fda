"""``python -m tools.bench.measure.hostile``: the cost of hostile or invalid bytes on one of a hub's sockets.

Each attack is a stream of raw bytes after a valid handshake. Another client sends a request every 0.1 s during the attack. The
table shows the processor time of the hub until it is idle again, and the *stall*: the longest time for which the other client
waits for an answer. The table also shows the largest processor time of the hub during such a wait. On a busy machine, this
shows the part of the wait that the hub itself causes.
"""

from __future__ import annotations

import argparse
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

from linesync.client.blocking import connect_blocking
from linesync.errors import LinesyncError
from linesync.runtime.identity import local_end, token
from linesync.wire.framing import frames
from linesync.wire.framing.digits import counted
from linesync.wire.framing.frames import Ack, Hello, Lane
from linesync.wire.link import Link

from ..page.report import Report, progress
from ..rivals.stores import Linesync
from ..testbed.system import BenchError, Processes, cpu_seconds, resident

__all__ = ["ATTACKS", "hostile"]

_REQUEST_INTERVAL = 0.1  # seconds between two requests of the other client
_IDLE = 0.3  # seconds of one check whether the hub is idle
_IDLE_CPU = 0.03  # an idle hub uses less processor time than this number of seconds in one check
_LIMIT = 60.0  # the most seconds for one attack
_STALL_TARGET = 0.1  # seconds
_LONGEST = 780_000  # bytes: about the longest frame that a hub reads on a socket
_PAYLOAD = 250_000  # bytes of payload of a frame that is not longer than the announced length


class Attacker:
    """The calling end of a session, which sends raw bytes.

    :param endpoint: ``unix:PATH``.
    """

    def __init__(self, endpoint: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(endpoint.removeprefix("unix:"))
        link = Link(local_end("c", clean=True), token)
        link.line_up(time.monotonic())
        link.handle_timer(time.monotonic())
        self._sock.sendall(link.data_to_send(time.monotonic()))
        while link.session is None:
            link.receive_data(self._sock.recv(1 << 16), time.monotonic())
            self._sock.sendall(link.data_to_send(time.monotonic()))
        self.seed = link.session.seed_out
        self.boot = link.local.boot
        self.channel = 1 if link.session.nonce > link.session.peer.nonce else 2
        """The number of the first channel that this end may open."""
        self._next = dict.fromkeys(Lane, 0)
        self._reader = threading.Thread(target=self._discard, daemon=True)
        self._reader.start()

    def _discard(self) -> None:
        try:
            while self._sock.recv(1 << 17):
                pass
        except OSError:
            pass

    def frame(self, kind: bytes, body: bytes) -> bytes:
        """A valid frame of the session."""
        return frames.encode(kind, body, self.seed)

    def data(self, payload: bytes, lane: Lane = Lane.BULK, *, skip: int = 0) -> bytes:
        """A valid data frame.

        :param skip: the number of sequence numbers to skip before the frame.
        """
        seq = self._next[lane] + skip
        self._next[lane] = seq + 1
        return self.frame(frames.data_kind(lane, eight=True), frames.data_body(seq % 4096, 0, payload, eight=True))

    def send(self, parts: Iterator[bytes]) -> None:
        """Send the attack. The hub may close the connection at any time."""
        try:
            for part in parts:
                self._sock.sendall(part)
        except OSError:
            pass

    def close(self) -> None:
        self._sock.close()


Attack = Callable[[Attacker], Iterator[bytes]]


def _repeated(piece: bytes, size: int = 3_000_000) -> Attack:
    def attack(_: Attacker) -> Iterator[bytes]:
        yield piece * (size // len(piece))

    return attack


def _wrong_check(kind: bytes, text: bytes = b"A", after: bytes = b"") -> Attack:
    """Five frames of the longest length, with a wrong frame check."""

    def attack(attacker: Attacker) -> Iterator[bytes]:
        body = (text * (_LONGEST // len(text)))[:_LONGEST]
        for _ in range(5):
            yield b"^" + kind + counted(len(body)) + body + b"AAAAAA\n" + after

    return attack


def _half_frames(attacker: Attacker) -> Iterator[bytes]:
    frame = attacker.data(b"0BIA" + b"x" * 1000)
    yield frame[: len(frame) // 2] * 6000


def _valid(kind: bytes, body: bytes, size: int = 3_000_000) -> Attack:
    def attack(attacker: Attacker) -> Iterator[bytes]:
        frame = attacker.frame(kind, body)
        yield frame * (size // len(frame))

    return attack


def _frames_inside_a_frame(attacker: Attacker) -> Iterator[bytes]:
    yield b"^D" + counted(_LONGEST) + attacker.frame(frames.KEEP, b"") * 300_000


def _acks(attacker: Attacker) -> Iterator[bytes]:
    ack = Ack(age=0, poll=1, prompt=(0, ()), bulk=(0, ()))
    yield attacker.frame(frames.ACK, ack.body()) * 100_000


def _early_frames(attacker: Attacker) -> Iterator[bytes]:
    """A full window of frames, with the first frame at the end."""
    first = attacker.data(b"0" + counted(999) + counted(4) + b"late")
    for _ in range(1020):
        yield attacker.data((b"0" + counted(999) + counted(0)) * 500)
    yield first


def _records(piece: bytes, size: int = 3_000_000, lane: Lane = Lane.BULK, payload: int = _PAYLOAD) -> Attack:
    def attack(attacker: Attacker) -> Iterator[bytes]:
        for _ in range(0, size, payload):
            yield attacker.data(piece * (payload // len(piece)), lane)

    return attack


def _one_byte(attacker: Attacker) -> Iterator[bytes]:
    """Four million data records of one byte for a channel that has ended."""
    yield from _records(b"0" + counted(999) + counted(1) + b"x", 16_000_000)(attacker)


def _many_records(
    make: Callable[[Attacker, int], bytes], count: int, each: int = 1000, lane: Lane = Lane.PROMPT
) -> Attack:
    """Records in frames.

    :param make: makes a record.
    :param count: the number of all records.
    :param each: the number of records in a frame.
    """

    def attack(attacker: Attacker) -> Iterator[bytes]:
        for start in range(0, count, each):
            yield attacker.data(b"".join(make(attacker, number) for number in range(start, start + each)), lane)

    return attack


def _message(text: bytes) -> bytes:
    return b"m" + counted(0) + counted(len(text)) + text


def _long_requests(attacker: Attacker) -> Iterator[bytes]:
    """Requests of 900 KB, in pieces."""
    for number in range(8):
        yield attacker.data(b"f" + counted(0) + counted(7) + b"%d exch " % number, Lane.PROMPT)
        for _ in range(5):
            yield attacker.data(b"f" + counted(0) + counted(180_000) + b"a%20" * 45_000, Lane.PROMPT)
        yield attacker.data(_message(b" end"), Lane.PROMPT)


def _opening(attacker: Attacker, number: int) -> bytes:
    channel = counted(attacker.channel + 2 * number)
    words = b"run host /bin/true"
    return b"o" + channel + counted(len(words)) + words + b"x" + channel + counted(0)


def _short_forms(attacker: Attacker) -> Iterator[bytes]:
    """Messages in short form, which the hub must expand."""
    from linesync.wire.channels.compression import TextCompressor

    compressor = TextCompressor()
    text = compressor.compress(b"1 nothing", 1000, last=True)
    assert text is not None
    yield attacker.data(b"M" + counted(0) + counted(len(text)) + text, Lane.PROMPT)
    for _ in range(10):
        yield attacker.data(b"\x80\x10" * 20_000, Lane.PROMPT)


def _hellos(attacker: Attacker) -> Iterator[bytes]:
    rng = random.Random(1)
    fields = {"oldest": 1, "newest": 1, "role": "c", "peer": "", "frame": 1 << 18, "credit": 1_000_000, "flags": "nqpz"}
    for _ in range(20):
        yield b"".join(
            frames.encode(
                frames.HELLO,
                Hello(nonce=f"{rng.randrange(1 << 30):08x}", boot=f"{rng.randrange(1 << 30):08x}", **fields).body(),  # type: ignore[arg-type]
                0,
            )
            for _ in range(1000)
        )


ATTACKS: dict[str, Attack] = {
    "start of a frame": _repeated(b"^dA"),
    "start characters": _repeated(b"^"),
    "headers of long frames": _repeated(b"^D" + counted(_LONGEST)),
    "headers of long control frames": _repeated(b"^z" + counted(_LONGEST)),
    "headers of short control frames": _repeated(b"^zgA"),
    "halves of frames": _half_frames,
    "wrong check, repairable": _wrong_check(b"B"),
    "wrong check": _wrong_check(b"D"),
    "wrong check, line ends": _wrong_check(b"D", b"A" * 999 + b"\n", b"text\n" * 100),
    "wrong check, line ends, repairable": _wrong_check(b"B", b"A" * 99_999 + b"\n", b"text\n" * 100),
    "wrong check, blanks": _wrong_check(b"D", b" ", b" ^zA" * 500),
    "foreign lines": _repeated(b"a line of text that is not a frame\n"),
    "small frames": _valid(frames.KEEP, b""),
    "frames of an unknown kind": _valid(b"Z", b""),
    "polls": _valid(frames.POLL, b"B"),
    "acknowledgements": _acks,
    "frames inside a frame": _frames_inside_a_frame,
    "early frames": _early_frames,
    "hellos": _hellos,
    "records of one byte": _one_byte,
    "records of an unknown kind": _records(b"?" + counted(999) + counted(0)),
    "expanded messages": _short_forms,
    "credit": _records(b"w" + counted(0) + counted(1) + b"B"),
    "openings and resets": _many_records(_opening, 20_000, lane=Lane.BULK),
    "small requests": _many_records(lambda _, n: _message(b"%d nothing" % n), 60_000),
    "requests": _many_records(lambda _, n: _message(b"%d status" % n), 20_000),
    "long requests": _long_requests,
}
"""The attacks by name."""


class _OtherClient:
    """Another client, which sends a request every 0.1 s and measures its waits for the answers."""

    def __init__(self, pid: int, endpoint: str) -> None:
        self.stall = 0.0
        """The longest wait for an answer, in seconds."""
        self.hub_cpu = 0.0
        """The largest processor time of the hub during one wait, in seconds."""
        self._clock = ~pid << 3 | 2  # Linux: the processor time of a process as a clock
        self._endpoint = endpoint
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        with connect_blocking(self._endpoint) as client:
            client.semaphore("stall", 0)
            while not self._stop.is_set():
                began, before = time.perf_counter(), time.clock_gettime(self._clock)
                try:
                    client.semaphore("stall", 0)
                except LinesyncError:
                    self.stall = float("inf")
                    return
                self.stall = max(self.stall, time.perf_counter() - began)
                self.hub_cpu = max(self.hub_cpu, time.clock_gettime(self._clock) - before)
                self._stop.wait(_REQUEST_INTERVAL)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(_LIMIT)


def _run_attack(pid: int, endpoint: str, attack: Attack) -> dict[str, float]:
    attacker = Attacker(endpoint)
    parts = list(attack(attacker))
    other_client = _OtherClient(pid, endpoint)
    time.sleep(2 * _REQUEST_INTERVAL)
    before, began = cpu_seconds(pid), time.perf_counter()
    sender = threading.Thread(target=attacker.send, args=(iter(parts),), daemon=True)
    sender.start()
    used = before
    while time.perf_counter() < began + _LIMIT:
        time.sleep(_IDLE)
        now = cpu_seconds(pid)
        if now - used < _IDLE_CPU and not sender.is_alive():
            break
        used = now
    attacker.close()
    other_client.end()
    size = sum(map(len, parts))
    return {
        "MB": size / 1e6,
        "cpu_s": used - before,
        "ns_a_byte": (used - before) / size * 1e9,
        "stall_ms": other_client.stall * 1000,
        "cpu_in_stall_ms": other_client.hub_cpu * 1000,
        "MiB": resident(pid),
    }


def hostile(report: Report, names: list[str] | None = None) -> None:
    """Run attacks, and add a table to the report.

    :param names: the names of the attacks; by default, all attacks.
    """
    table = report.table("hostile", "Hostile bytes on a unix socket of a hub")
    for name in names or ATTACKS:
        progress(name)
        with Processes() as processes:
            server = Linesync(processes)
            try:
                found = _run_attack(server.process.pid, server.unix, ATTACKS[name])
            except (OSError, LinesyncError) as error:
                raise BenchError(f"{name}: {error}") from error
        table.add(name, **found)
        report.target(f"stall of another client: {name}", found["stall_ms"] / 1000, "<=", _STALL_TARGET, "s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench.measure.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    report = Report()
    hostile(report, parser.parse_args().names)
    print(report.text())


if __name__ == "__main__":
    main()
