"""The command ``dbus-proxy`` of testbus: connects D-Bus clients with a bus on another machine.

``--upstream`` is the place of the bus, and ``--downstream`` is the place of the clients. Each of the two is a unix socket, or a
line to another dbus-proxy. A line carries all clients.
"""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Callable, Coroutine, Sequence

from ..errors import UsageError
from .program import options, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..jobs.sockets.bus_proxy import BusProxy

__all__ = ["main", "nearest_rate", "read_place"]

USAGE = """\
usage: dbus-proxy [--upstream PLACE] --downstream PLACE [--foreground]

Connects D-Bus clients downstream with a bus upstream. The default of --upstream is the system bus of this machine.

PLACE is one of:
  unix:PATH              a unix socket: of the bus upstream; made for the clients downstream
  stdio                  a line to another dbus-proxy: stdin and stdout
  exec:COMMAND           the same: the stdin and stdout of a command, such as exec:ssh host dbus-proxy ...
  serial:DEV,RATE[8N1]   the same: a serial port, such as serial:ttyS0,38400N1
  unix-mux:PATH          the same: a unix socket that carries a line, such as a serial port of a virtual machine

Without --foreground, it runs in the background as soon as it is ready. It reports to stderr.
"""
_SYSTEM_BUS = ("/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket")
_LINES = ("stdio", "exec", "serial", "unix-mux")
_IGNORED = ("config=", "debug=", "log-level=", "log-target=", "identity=")
"""The options of the original that have no meaning here."""
_SETTINGS = re.compile(r"([0-9]+?)(?:([5-8])?([NEO])([12]))?", re.IGNORECASE)
_RATES = tuple(sorted(int(name[1:]) for name in vars(termios) if re.fullmatch("B[1-9][0-9]+", name)))
"""The rates that serial ports of this system support, in bits per second."""


def nearest_rate(rate: int) -> int:
    """The supported rate that is nearest to a rate; if two rates are equally near, the lower one."""
    return min(_RATES, key=lambda known: (abs(known - rate), known))


def read_place(text: str, warn: Callable[[str], None]) -> tuple[str, str]:
    """Read a place.

    :param warn: is called with a sentence if the place has a rate that no port supports.
    :returns: the kind and its value: ``unix`` or ``unix-mux`` and a path, or ``line`` and an endpoint.
    :raises UsageError: the place is invalid.
    """
    kind, _, value = text.partition(":")
    if kind == "stdio" and not value:
        return "line", "stdio:"
    if kind in ("unix", "unix-mux") and value:
        return kind, os.path.abspath(value.removeprefix("path="))
    if kind == "exec" and value.strip():
        return "line", text
    if kind == "serial" and value:
        device, _, settings = value.partition(",")
        device = device if device.startswith("/") else f"/dev/{device}"
        return "line", device + _serial_settings(text, settings, warn)
    raise UsageError(f"invalid place {text!r}: expected unix:PATH, {', '.join(_LINES)} as in 'dbus-proxy --help'")


def _serial_settings(text: str, settings: str, warn: Callable[[str], None]) -> str:
    """The options of a serial endpoint, for settings such as ``38400``, ``38400N1`` and ``384008N1``."""
    if not settings:
        return ""
    found = _SETTINGS.fullmatch(settings.replace(",", ""))
    if found is None:
        raise UsageError(f"invalid settings {settings!r} in {text!r}: expected a rate and a format, as in 38400N1")
    digits, data, parity, stop = found.groups()
    rate = int(digits + (data or ""))
    if data is not None and rate not in _RATES and int(digits) in _RATES:
        rate = int(digits)  # the last digit is the number of data bits
    else:
        data = None
    known = nearest_rate(rate)
    if known != rate:
        warn(f"no serial port supports {rate} baud; using {known} baud, which must be the rate of the other end, too")
    return f",{known}" + (f",{data or 8}{parity.upper()}{stop}" if parity else "")


def main(program: str, argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    return run(program, lambda words: _main(program, words), argv)


def _main(program: str, words: list[str]) -> int:
    found, rest = options(
        words, "h", ("help", "version", "foreground", "upstream=", "downstream=", *_IGNORED), "see --help"
    )
    chosen = dict(found)
    if "--help" in chosen or "-h" in chosen:
        print(USAGE, end="")
        return 0
    if "--version" in chosen:
        from .. import __version__

        print(f"{program} of linesync {__version__}")
        return 0
    if rest:
        raise UsageError(f"dbus-proxy starts no session command; write --downstream exec:'{rest[0]} ...' for a line")
    if "--downstream" not in chosen:
        raise UsageError("dbus-proxy needs --downstream; see --help")

    def log(sentence: str) -> None:
        print(f"{program}: {sentence}", file=sys.stderr, flush=True)

    upstream = read_place(chosen["--upstream"], log) if "--upstream" in chosen else ("unix", _system_bus())
    downstream = read_place(chosen["--downstream"], log)
    if upstream[0] == "unix-mux":
        upstream = "line", f"unix:{upstream[1]}"
    if upstream == downstream:
        raise UsageError("--upstream and --downstream are the same place; choose two different ones")
    stays = "--foreground" in chosen or "stdio:" in (upstream[1], downstream[1])
    ready = (lambda: None) if stays else _background()
    return _run(lambda proxy: _begin(proxy, upstream, downstream), log, ready)


def _system_bus() -> str:
    """The path of the socket of the system bus."""
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
    found = re.match(r"unix:path=([^,;]+)", address)
    return found[1] if found else next((path for path in _SYSTEM_BUS if os.path.exists(path)), _SYSTEM_BUS[0])


async def _begin(proxy: BusProxy, upstream: tuple[str, str], downstream: tuple[str, str]) -> None:
    if upstream[0] == "unix":
        proxy.bus_at(upstream[1])
    else:
        proxy.bus_beyond(upstream[1], once=upstream[1] == "stdio:")
    kind, value = downstream
    if kind == "unix":
        await proxy.clients_at(value)
    elif kind == "unix-mux":
        await proxy.lines_at(value)
    else:
        proxy.clients_beyond(value, once=value == "stdio:")


def _background() -> Callable[[], None]:
    """Continue in a child process. The parent exits with 0 when the child calls the returned function, or with the exit code of
    the child if the child ends before that."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        if os.read(reader, 1):
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or 125)
    os.close(reader)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)

    def ready() -> None:
        os.write(writer, b"x")
        os.close(writer)

    return ready


def _run(
    begin: Callable[[BusProxy], Coroutine[None, None, None]], log: Callable[[str], None], ready: Callable[[], None]
) -> int:
    """Run the proxy until a signal arrives, or a line that cannot be opened again has ended."""
    import asyncio
    import signal

    from ..jobs.sockets.bus_proxy import BusProxy

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        proxy = BusProxy(log)
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await begin(proxy)
            ready()
            done, _ = await asyncio.wait({stopping, *proxy.lines}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopping.cancel()
            await proxy.aclose()

    asyncio.run(work())
    return 0
