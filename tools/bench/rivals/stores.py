"""Servers that store a semaphore for many clients: linesync, redis and etcd, each with its usual client and method.

- redis runs with an append-only file that it syncs each second. The semaphore is a list of tokens. A client takes a token with
  BLPOP and gives it back with RPUSH. The client is redis-py's asyncio client.
- etcd stores a number under one key. A client reads the number, and writes the new number in a transaction that compares the
  key's revision. It repeats this until the transaction succeeds. It uses etcd's HTTP and JSON interface.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import linesync
from linesync.client.aio import Client

from ..testbed.system import BenchError, Processes, free_port

__all__ = [
    "COMPILED",
    "STORES",
    "UNITS",
    "Compiled",
    "Etcd",
    "Linesync",
    "Redis",
    "Store",
    "Taker",
    "why_no_store",
    "why_not_compiled",
]

COMPILED = Path(__file__).resolve().parents[3] / "build" / "compiled"
"""The folder into which ``make compiled`` puts linesync with a compiled core."""
UNITS = 10
"""The number of units of the semaphore."""

_NAME = "hot"
_UP = 10.0  # seconds within which a server must answer
_POLL = 0.002  # seconds between two reads of an etcd semaphore that has no units


class Taker(Protocol):
    """One client of a store."""

    async def take(self) -> object: ...
    async def give(self) -> object: ...
    async def aclose(self) -> object: ...


class Store(Protocol):
    """A server that stores one semaphore."""

    process: subprocess.Popen[bytes]
    """The server."""

    async def client(self) -> Taker: ...
    async def fill(self, units: int) -> None:
        """Set the number of units."""


def why_no_store(name: str) -> str:
    """The reason why a rival cannot run on this machine; empty if it can run."""
    program, package, module = {
        "redis": ("redis-server", "redis-server", "redis"),
        "etcd": ("etcd", "etcd-server", None),
    }[name]
    if shutil.which(program) is None:
        return f"{name} is not installed; on Debian: apt-get install {package}"
    if module is not None and importlib.util.find_spec(module) is None:
        return f"{name}'s client is not installed: pip install {module}"
    return ""


def why_not_compiled() -> str:
    """The reason why linesync with a compiled core cannot be measured; empty if it can be measured."""
    stamp = COMPILED / ".built"
    if not stamp.exists():
        return "the core is not compiled; run make compiled first"
    newest = max(source.stat().st_mtime for source in (COMPILED.parents[1] / "linesync").rglob("*.py"))
    return "" if stamp.stat().st_mtime >= newest else "the compiled core is older than the sources; run make compiled"


def _wait_port(port: int, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + _UP
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise BenchError(f"the server did not start: {log()}") from None
            time.sleep(0.05)


# -- linesync ----------------------------------------------------------------------------------------------------------


class Linesync:
    """A hub that listens on loopback.

    :param processes: starts the hub; None: use a hub that already runs.
    :param endpoint: the endpoint of the hub that already runs.
    """

    env: ClassVar[dict[str, str]] = {}
    """Variables to add to the hub's environment."""
    state: str = ":memory:"
    """The hub's state file."""

    def __init__(self, processes: Processes | None, endpoint: str = "") -> None:
        self.endpoint = endpoint
        if processes is not None:
            port = free_port()
            self.endpoint = f"tcp://127.0.0.1:{port}"
            self.unix = f"unix:{processes.folder}/{port}.sock"
            self.process = processes.linesync(
                f"store-hub-{port}",
                *(
                    "hub",
                    "--state",
                    self._state_file(processes),
                    "--socket",
                    f"{processes.folder}/{port}.sock",
                    "--listen",
                    self.endpoint,
                ),
                env=self.env,
            )
            _wait_port(port, lambda: processes.log(f"store-hub-{port}"))

    def _state_file(self, processes: Processes) -> str:
        return self.state if self.state == ":memory:" else f"{processes.folder}/{self.state}"

    async def client(self) -> _LinesyncTaker:
        return _LinesyncTaker(await linesync.connect(self.endpoint))

    async def fill(self, units: int) -> None:
        async with await linesync.connect(self.endpoint) as client:
            await client.reset(_NAME)
            await client.semaphore(_NAME, units)


class Compiled(Linesync):
    """A hub with the compiled core of ``make compiled``. Its clients run in a separate process and also use this core."""

    env: ClassVar[dict[str, str]] = {"PYTHONPATH": str(COMPILED)}

    def turns(self, count: int, seconds: float) -> dict[str, float]:
        """Run :func:`tools.bench.measure.turns.turns` in a separate process, and return its result."""
        env = os.environ | {"PYTHONPATH": f"{COMPILED}:{COMPILED.parents[1]}", "PYTHONSAFEPATH": "1"}
        argv = [sys.executable, "-m", "tools.bench.measure.turns", self.endpoint, str(count), str(seconds)]
        found: dict[str, float] = json.loads(subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE).stdout)
        return found


class Durable(Linesync):
    """A hub that stores its state on a disk before it replies."""

    state = "durable.db"


class _LinesyncTaker:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def take(self) -> None:
        await self._client.semaphore(_NAME, -1)

    async def give(self) -> None:
        await self._client.semaphore(_NAME, 1)

    async def aclose(self) -> None:
        await self._client.aclose()


# -- redis -------------------------------------------------------------------------------------------------------------


class Redis:
    """A redis server on loopback."""

    sync: ClassVar[str] = "everysec"
    """The value of redis's setting ``appendfsync``: when redis syncs the disk."""

    def __init__(self, processes: Processes) -> None:
        self._port = free_port()
        folder = processes.folder / f"redis-{self.sync}"
        folder.mkdir()
        options = {"port": self._port, "bind": "127.0.0.1", "appendonly": "yes", "appendfsync": self.sync, "save": ""}
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self.process = processes.start(f"redis-{self.sync}", ["redis-server", *words, "--dir", str(folder)])
        _wait_port(self._port, lambda: processes.log(f"redis-{self.sync}"))

    def _connect(self) -> Any:
        redis = importlib.import_module("redis.asyncio")
        return redis.Redis(host="127.0.0.1", port=self._port)

    async def client(self) -> _RedisTaker:
        return _RedisTaker(self._connect())

    async def fill(self, units: int) -> None:
        client = self._connect()
        await client.delete(_NAME)
        await client.rpush(_NAME, *["x"] * units)
        await client.aclose()


class DurableRedis(Redis):
    """A redis server that syncs the disk before it replies."""

    sync = "always"


class _RedisTaker:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def take(self) -> None:
        await self._client.blpop(_NAME)

    async def give(self) -> None:
        await self._client.rpush(_NAME, "x")

    async def aclose(self) -> None:
        await self._client.aclose()


# -- etcd --------------------------------------------------------------------------------------------------------------


class Etcd:
    """An etcd server of one member on loopback."""

    def __init__(self, processes: Processes) -> None:
        self._port, peers = free_port(), free_port()
        client, peer = f"http://127.0.0.1:{self._port}", f"http://127.0.0.1:{peers}"
        options = {
            "data-dir": str(processes.folder / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "error",
        }
        self.process = processes.start("etcd", ["etcd", *(f"--{key}={value}" for key, value in options.items())])
        _wait_port(self._port, lambda: processes.log("etcd"))

    async def client(self) -> _EtcdTaker:
        return _EtcdTaker(*await asyncio.open_connection("127.0.0.1", self._port))

    async def fill(self, units: int) -> None:
        client = await self.client()
        deadline = time.monotonic() + _UP  # etcd accepts connections before it has elected a leader
        while "error" in await client.ask("kv/put", key=_key(_NAME), value=_key(str(units))):
            if time.monotonic() > deadline:
                raise BenchError(f"etcd did not store a value within {_UP:g} s")
            await asyncio.sleep(0.1)
        await client.aclose()


def _key(text: str) -> str:
    return b64encode(text.encode()).decode()


class _EtcdTaker:
    """A client with one persistent connection. It implements only the part of HTTP that etcd needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, operation: str, **request: object) -> dict[str, Any]:
        body = json.dumps(request).encode()
        head = f"POST /v3/{operation} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        header = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        _, found, rest = header.partition(b"content-length:")
        if not found:
            raise BenchError(f"etcd answered without a length: {header!r}")
        answer = json.loads(await self._reader.readexactly(int(rest.split(b"\r\n")[0])))
        assert isinstance(answer, dict)
        return answer

    async def take(self) -> None:
        await self._change(-1)

    async def give(self) -> None:
        await self._change(1)

    async def _change(self, delta: int) -> None:
        key = _key(_NAME)
        while True:
            (found,) = (await self.ask("kv/range", key=key))["kvs"]
            units = int(b64decode(found["value"])) + delta
            if units < 0:
                await asyncio.sleep(_POLL)
                continue
            unchanged = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": found["mod_revision"]}
            put = {"request_put": {"key": key, "value": _key(str(units))}}
            if (await self.ask("kv/txn", compare=[unchanged], success=[put])).get("succeeded"):
                return

    async def aclose(self) -> None:
        self._writer.close()


STORES: dict[str, Callable[[Processes], Store]] = {"redis": Redis, "etcd": Etcd}
"""The rivals by name."""
DURABLE_STORES: dict[str, Callable[[Processes], Store]] = {"linesync, durable": Durable, "redis, durable": DurableRedis}
"""The stores that write each operation to the disk before they reply, by name."""
