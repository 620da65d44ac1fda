"""The steps of ``linesync demo``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ...errors import LinesyncError, LinesyncFailed
from ..common import print_json

if TYPE_CHECKING:
    from ...client.aio import Client
    from ...testing.faults import Faults
    from ...testing.nullmodem import NullModem

__all__ = ["show"]

_BAUD = 115200
_HOSTS = ("alpha", "beta")
_START = 20.0  # seconds within which the hub must start, and within which both agents must then register


def show(*, as_json: bool) -> None:
    """Show all steps on quiet lines, then on noisy lines, and print the result."""
    from ...testing.faults import Faults

    step = _Steps(quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="linesync-demo-") as folder:
        clean = asyncio.run(_round(folder, step, "a quiet line", Faults()))
        noisy = asyncio.run(
            _round(folder, step, "bit errors and kernel messages on the line", Faults(ber=1e-4, printk=5.0))
        )
    if as_json:
        print_json({"clean": clean, "noisy": noisy})
        return
    print(
        f"linesync demo: done. Two agents on {_BAUD}-baud null modems met the controller at a barrier of 3. beta gave a"
        f" unit of a semaphore to alpha in {clean['handover_ms']} ms. A command on alpha ended with exit code"
        f" {clean['exit_code']}. The same steps succeeded with {noisy['flipped_bits']} bit errors and"
        f" {noisy['printk_bytes']} bytes of kernel messages on the lines: {noisy['repeated']} frames were sent again, and"
        f" nothing was lost."
    )


class _Steps:
    """Prints each step on a separate line, with the time since the start."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        if not self._quiet:
            print(f"[{time.monotonic() - self._start:5.1f} s] {text}", flush=True)


async def _round(folder: str, step: _Steps, conditions: str, faults: Faults) -> dict[str, object]:
    """Show all steps once.

    :return: the measurements: the fields of ``demo`` in docs/reference/json.md.
    """
    from ...client.aio import connect
    from ...testing.nullmodem import NullModem

    step(f"--- {conditions} ---")
    with contextlib.ExitStack() as cables:
        modems = [
            cables.enter_context(NullModem(baud=_BAUD, faults=faults, seed=number)) for number in range(len(_HOSTS))
        ]
        async with _processes(folder, modems, step) as hub:
            async with await connect(hub) as client:
                await _registered(client)
                step(f"{' and '.join(_HOSTS)} have registered over their lines; the hub lists these hosts:")
                for host in await client.hosts():
                    step(f"    {host.name:6} {host.state:4} on {host.line}")
                await _barrier(client, step)
                handover = await _semaphore(client, step)
                code = await _command(client, step)
                repeated = await _repeated(client)
                console = await _console(client)
        counters = [modem.counters() for modem in modems]
    flipped = sum(direction["flipped_bits"] for modem in counters for direction in modem.values())
    printk = sum(direction["printk"] for modem in counters for direction in modem.values())
    if printk:
        step(
            f"{flipped} bit errors and {printk} bytes of kernel messages were on the lines; alpha's console log ends with"
        )
        for line in console.splitlines()[-2:]:
            step(f"    {line}")
    return {
        "handover_ms": handover,
        "exit_code": code,
        "flipped_bits": flipped,
        "printk_bytes": printk,
        "repeated": repeated,
    }


@contextlib.asynccontextmanager
async def _processes(folder: str, modems: list[NullModem], step: _Steps) -> AsyncIterator[str]:
    """Start a hub, and an agent for each null modem. Yields the hub's endpoint."""
    hub = f"unix:{folder}/hub.sock"
    ports = [word for modem in modems for word in ("--port", modem.a)]
    policy = f"{folder}/policy.toml"  # not that of this machine
    with open(policy, "w"):
        pass
    commands = [["hub", "--state", ":memory:", "--policy", policy, "--socket", f"{folder}/hub.sock", *ports]]
    commands += [
        ["agent", "--port", modem.b, "--name", name, "--socket", f"{folder}/{name}.sock"]
        for name, modem in zip(_HOSTS, modems, strict=True)
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LINESYNC_")}
    running = []
    with open(f"{folder}/log", "ab") as log:
        try:
            for command in commands:
                step("$ linesync " + " ".join(command).replace(folder, "DIR"))
                running.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "linesync", *command, stderr=log, stdout=log, env=environment
                    )
                )
            await _listening(f"{folder}/hub.sock", f"{folder}/log")
            yield hub
        finally:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            await asyncio.gather(*(process.wait() for process in running))


async def _listening(path: str, log: str) -> None:
    deadline = time.monotonic() + _START
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            with open(log, encoding="utf-8", errors="replace") as file:
                raise LinesyncFailed(f"the hub did not start; its log says: {file.read()[-500:]}")
        await asyncio.sleep(0.02)


async def _registered(client: Client) -> None:
    deadline = time.monotonic() + _START
    while {host.name for host in await client.hosts() if host.state == "up"} != set(_HOSTS):
        if time.monotonic() > deadline:
            raise LinesyncFailed(
                f"the agents did not register within {_START:g} s; try again when this machine is less busy"
            )
        await asyncio.sleep(0.05)


def _linesync(*words: str) -> list[str]:
    """The argv of a linesync command for a host. The command connects to the agent of that host."""
    return [sys.executable, "-m", "linesync", *words]


async def _barrier(client: Client, step: _Steps) -> None:
    step("all three arrive at a barrier of 3:    $ linesync barrier ready 3")
    arrivals = [
        asyncio.create_task(client.run(name, _linesync("barrier", "ready", "3", "--timeout", "30"))) for name in _HOSTS
    ]
    result = await client.barrier("ready", 3, timeout=30)
    for name, arrival in zip(_HOSTS, arrivals, strict=True):
        _expect_success(name, (await arrival).exit_code)
    step(f"    released together: {', '.join(result.parties)}")


async def _semaphore(client: Client, step: _Steps) -> float:
    """Let alpha wait for a unit and beta give one.

    :return: the milliseconds from the start of beta's command to the end of alpha's command.
    """
    step("alpha waits for a unit of a semaphore: $ linesync sem flash -1")
    waiting = asyncio.create_task(client.run("alpha", _linesync("sem", "flash", "-1", "--timeout", "30")))
    while not (await client.status()).semaphores:
        await asyncio.sleep(0.02)
    step("beta gives it:                         $ linesync sem flash +1")
    start = time.monotonic()
    given = await client.run("beta", _linesync("sem", "flash", "+1"))
    taken = await waiting
    handover = round((time.monotonic() - start) * 1000, 1)
    _expect_success("beta", given.exit_code)
    _expect_success("alpha", taken.exit_code)
    step(f"    alpha has it, {handover} ms after the start of beta's command")
    return handover


async def _command(client: Client, step: _Steps) -> int:
    step("a command on alpha:                    $ linesync run alpha -- sh -c 'echo out; echo err >&2; exit 7'")
    result = await client.run("alpha", ["sh", "-c", "echo out; echo err >&2; exit 7"])
    if (result.stdout, result.stderr, result.exit_code) != (b"out\n", b"err\n", 7):
        raise LinesyncFailed(f"the command on alpha gave a wrong result, {result}; please report this bug")
    step("    stdout 'out', stderr 'err', exit code 7")
    return result.exit_code


async def _repeated(client: Client) -> int:
    """The number of frames that were sent again, by both ends of all lines."""
    rows = [link.as_json() for link in await client.links()]
    for name in _HOSTS:
        listed = await client.run(name, _linesync("links", "--json"))
        rows += [row for row in json.loads(listed.stdout) if row["end"] == name]
    return sum(int(row.get("repeated", 0)) for row in rows)


def _expect_success(host: str, code: int) -> None:
    if code != 0:
        raise LinesyncFailed(f"the command on {host} ended with exit code {code} instead of 0; please report this bug")


async def _console(client: Client) -> str:
    """Alpha's console log."""
    stream = client.console("alpha")
    stream.end()
    text = bytearray()
    try:
        while True:
            text += (await stream.receive()).data
    except LinesyncError:
        return text.decode("utf-8", "replace")
