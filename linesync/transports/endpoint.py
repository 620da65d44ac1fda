"""Endpoints: the values of ``--port``, ``--listen`` and ``--hub``, as text and as small frozen records.

Parsing imports no transport, so a command can check an endpoint before it opens a line. An invalid endpoint raises
:class:`~linesync.errors.UsageError`, whose message contains the expected form.
"""

from __future__ import annotations

import os
import re

from ..errors import UsageError
from ..frozen_record import Record

__all__ = [
    "DEFAULT_BAUD",
    "Endpoint",
    "ExecEndpoint",
    "SerialEndpoint",
    "StdioEndpoint",
    "TcpEndpoint",
    "UnixEndpoint",
    "absolute",
    "is_loopback",
    "parse_endpoint",
]

_BAUD_DIGITS = 9
DEFAULT_BAUD = 115200
"""The rate of a serial line in bits per second if its endpoint names no rate."""

_SERIAL_SCHEMES = ("alt", "cp2110", "hwgrep", "loop", "rfc2217", "socket", "spy")
_KNOWN = "/dev/ttyS0, tcp://host:port, unix:/path, exec:command, stdio: or a pyserial URL such as rfc2217://host:port"
_OPTIONS = "a baud rate, auto, 8N1, rtscts, xonxoff, baud=N, baud=auto, data=7, parity=E or stop=2"
_FRAMING = re.compile(r"([5-8])([NEOMS])(1\.5|1|2)", re.IGNORECASE)


class Endpoint(Record):
    """A place where a line can be opened or accepted."""

    text: str
    """The endpoint as the user wrote it."""

    def __str__(self) -> str:
        return self.text


class TcpEndpoint(Endpoint):
    """``tcp://host:port``; an IPv6 address has brackets around it."""

    host: str
    """A name or an address, without brackets."""
    port: int
    """The port, 0 to 65535. With 0, which is only for listening, the system chooses the port."""


class UnixEndpoint(Endpoint):
    """``unix:/path``."""

    path: str
    """The socket's path."""


class ExecEndpoint(Endpoint):
    """``exec:command arguments``: the line consists of the command's stdin and stdout. No shell is involved."""

    argv: tuple[str, ...]
    """The command and its arguments, split like in a shell."""


class StdioEndpoint(Endpoint):
    """``stdio:``: this process's own stdin and stdout."""


class SerialEndpoint(Endpoint):
    """A serial device or any pyserial URL, with options after commas in any order."""

    url: str
    """The path of a device, or the URL for pyserial with its own query."""
    baud: int = DEFAULT_BAUD
    """The rate in bits per second; with ``climbs``, the rate at the start."""
    climbs: bool = False
    """Whether the rate is raised as far as both ends and the line allow (option ``auto``)."""
    data_bits: int = 8
    """The number of data bits, 5 to 8."""
    parity: str = "N"
    """The parity: ``N``, ``E``, ``O``, ``M`` or ``S``."""
    stop_bits: float = 1
    """The number of stop bits: 1, 1.5 or 2."""
    rtscts: bool = False
    """Whether hardware flow control is on."""
    xonxoff: bool = False
    """Whether software flow control is on."""

    @property
    def is_device(self) -> bool:
        """Whether this is the path of a device; otherwise it is a URL."""
        return "://" not in self.url

    @property
    def byte_rate(self) -> float:
        """The rate in bytes per second: the baud rate divided by the bits of one character, including the start bit."""
        return self.baud / (1 + self.data_bits + (self.parity != "N") + self.stop_bits)


def parse_endpoint(text: str) -> Endpoint:
    """Parse the text of an endpoint.

    :raises UsageError: the endpoint is not valid. The message contains the expected form.
    """
    if not text.strip():
        raise UsageError(f"the endpoint is empty; write {_KNOWN}")
    scheme, colon, rest = text.partition(":")
    if text[0] in "/.":
        device, *options = text.split(",")
        return _serial(text, device, options)
    if not colon:
        hint = f"write {_KNOWN}"
        if text.startswith("tty"):
            hint = f"a device is written with its path, /dev/{text}"
        elif text.endswith(".sock"):
            hint = f"a socket is written unix:{text}"
        raise UsageError(f"{text!r} is not an endpoint; {hint}")
    match scheme:
        case "tcp":
            host, port = _host_and_port(text, rest)
            return TcpEndpoint(text=text, host=host, port=port)
        case "unix":
            return UnixEndpoint(text=text, path=_unix_path(text, rest))
        case "exec":
            return ExecEndpoint(text=text, argv=_argv(text, rest))
        case "stdio":
            if rest:
                raise UsageError(f"invalid endpoint {text!r}: write stdio: with nothing after the colon")
            return StdioEndpoint(text=text)
    if scheme in _SERIAL_SCHEMES and rest.startswith("//"):
        return _serial_url(text, scheme)
    raise UsageError(f"endpoint {text!r} has the unknown scheme {scheme!r}; write {_KNOWN}")


def absolute(endpoint: str) -> str:
    """The same endpoint with an absolute path for a unix socket or a device, so that it is valid in every directory.

    An ``exec:`` endpoint is returned unchanged, because only its command knows which arguments are paths.

    :raises UsageError: the endpoint is invalid.
    """
    place = parse_endpoint(endpoint)
    if isinstance(place, UnixEndpoint):
        return f"unix:{os.path.abspath(place.path)}"
    if isinstance(place, SerialEndpoint) and place.is_device:
        return os.path.abspath(place.url) + endpoint.removeprefix(place.url)
    return endpoint


def is_loopback(endpoint: str | Endpoint) -> bool:
    """Whether only this machine can reach an endpoint: a unix socket, a loopback address or ``loop://``."""
    if isinstance(endpoint, str):
        endpoint = parse_endpoint(endpoint)
    match endpoint:
        case UnixEndpoint():
            return True
        case SerialEndpoint(url=url):
            return url.startswith("loop://")
        case TcpEndpoint(host=host):
            import ipaddress  # only a listening process needs it

            try:
                address = ipaddress.ip_address(host.partition("%")[0])
            except ValueError:
                return host == "localhost" or host.endswith(".localhost")
            mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
            return (mapped or address).is_loopback
    return False


def _host_and_port(text: str, rest: str) -> tuple[str, int]:
    form = "write tcp://host:port, with an IPv6 address in brackets: tcp://[::1]:4000"
    place = rest.removeprefix("//").removesuffix("/")
    if not rest.startswith("//") or not place:
        raise UsageError(f"endpoint {text!r} names no host; {form}")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        raise UsageError(f"endpoint {text!r} has no port; {form}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"endpoint {text!r} has an IPv6 address without brackets or too many colons; {form}")
    if not host:
        raise UsageError(f"endpoint {text!r} names no host; write 0.0.0.0 or [::] for all addresses of this machine")
    _check_port(text, port)
    return host, int(port)


def _check_port(text: str, port: str) -> None:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise UsageError(f"endpoint {text!r} has the port {port[:32]!r}, which is not a number from 0 to 65535")


def _unix_path(text: str, rest: str) -> str:
    path = rest[2:] if rest.startswith("//") else rest
    if not path:
        raise UsageError(f"endpoint {text!r} names no path; write unix:/path/to/socket")
    if "\0" in path:
        raise UsageError(f"endpoint {text!r} has a NUL byte in its path; write unix:/path/to/socket")
    return path


def _argv(text: str, rest: str) -> tuple[str, ...]:
    import shlex  # most processes never use an exec endpoint

    try:
        argv = tuple(shlex.split(rest))
    except ValueError as error:
        raise UsageError(f"endpoint {text!r} cannot be split into words ({error}); check its quotes") from None
    if not argv or not argv[0]:
        raise UsageError(f"endpoint {text!r} names no command; write for example exec:ssh sut linesync agent --stdio")
    return argv


def _serial_url(text: str, scheme: str) -> SerialEndpoint:
    """Separate linesync's options from a pyserial URL, which may itself contain commas in its query or in a pattern."""
    parts = text.split(",")
    if scheme in ("rfc2217", "socket", "loop") and "?" not in parts[0]:
        url, options = parts[0], parts[1:]
    else:
        options = []
        while len(parts) > 1 and _is_option(parts[-1]):
            options.insert(0, parts.pop())
        url = ",".join(parts)
    if scheme in ("rfc2217", "socket"):
        place = url.removeprefix(f"{scheme}://").partition("?")[0].partition("/")[0]
        host, _, port = place.rpartition(":")
        if not host or not re.fullmatch("[0-9]+", port):
            raise UsageError(f"endpoint {text!r} has no host and port; write {scheme}://host:port")
        _check_port(text, port)
    return _serial(text, url, options)


def _is_option(word: str) -> bool:
    try:
        _option(word, word)
    except UsageError:
        return False
    return True


def _serial(text: str, url: str, options: list[str]) -> SerialEndpoint:
    if not options:
        return SerialEndpoint(text=text, url=url)
    chosen: dict[str, object] = {}
    for word in options:
        for name, value in _option(text, word).items():
            if name in chosen:
                what = "baud=auto" if name == "climbs" else name.replace("_", " ")
                raise UsageError(f"endpoint {text!r} sets {what} twice; leave one of them out")
            chosen[name] = value
    if chosen.get("climbs") and url.startswith(("socket://", "loop://")):
        raise UsageError(f"endpoint {text!r} names a line that has no rate; leave auto out")
    return SerialEndpoint(text=text, url=url, **chosen)  # type: ignore[arg-type]  # _option makes the types


def _option(text: str, word: str) -> dict[str, object]:
    """The fields that one option sets."""
    name, equals, value = word.strip().partition("=")
    if not equals:
        if name.lower() in ("rtscts", "xonxoff"):
            return {name.lower(): True}
        if name.lower() == "auto":
            return {"climbs": True}
        if framing := _FRAMING.fullmatch(name):
            data, parity, stop = framing.groups()
            return {"data_bits": int(data), "parity": parity.upper(), "stop_bits": float(stop)}
        if name[:1].isdigit():
            return {"baud": _baud(text, name)}
    elif name == "baud" and value.lower() == "auto":
        return {"climbs": True}
    elif name == "baud":
        return {"baud": _baud(text, value)}
    elif name == "data" and value in ("5", "6", "7", "8"):
        return {"data_bits": int(value)}
    elif name == "parity" and value.upper() in ("N", "E", "O", "M", "S"):
        return {"parity": value.upper()}
    elif name == "stop" and value in ("1", "1.5", "2"):
        return {"stop_bits": float(value)}
    raise UsageError(f"endpoint {text!r} has the unknown option {word!r}; expected {_OPTIONS}")


def _baud(text: str, value: str) -> int:
    number = value.isascii() and value.isdigit()
    if not number or len(value) > _BAUD_DIGITS or int(value) == 0:
        problem = "out of range" if number else "not a number"
        raise UsageError(
            f"endpoint {text!r} has the baud rate {value[:32]!r}, which is {problem}; write one such as 115200, or auto"
        )
    return int(value)
