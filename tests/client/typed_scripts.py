"""Scripts that show the types of the clients. ``make lint`` checks this module with a type checker; it is never run.

Each ``type: ignore`` comment marks a mistake that the type checker must report.
"""

from __future__ import annotations

from io import BytesIO
from typing import assert_type

import linesync.client.aio
import linesync.client.blocking
from linesync.client.detached import KeptOutput
from linesync.client.results import CommandResult
from linesync.client.sync import BarrierResult, Held, TopicMessage
from linesync.model.state.hosts import HostState
from linesync.model.state.process import ProcessState


def blocking(hub: linesync.client.blocking.BlockingClient) -> None:
    assert_type(hub.barrier("x", 2, timeout=1.5), BarrierResult)
    assert_type(hub.run("sut", ["uname", "-r"], check=True), CommandResult)
    assert_type(hub.exchange("x", "a,b", b"data"), dict[str, bytes])
    assert_type(hub.exchange("x", ["a", "b"], b"data", sink=lambda member: BytesIO()), dict[str, int])
    assert_type(hub.receive("x"), list[TopicMessage])
    assert_type(hub.send("x", {"k": "v"}, "k=v"), int)
    assert_type(hub.hosts(timeout=5), list[HostState])
    process = hub.start_detached("sut", ["make", "all"], end_after=3600)
    assert_type(process, str)
    assert_type(hub.wait_process(process, on_output=lambda stream, data: None), CommandResult)
    assert_type(hub.processes("sut"), list[ProcessState])
    assert_type(hub.process_log(process, tail=10), KeptOutput)
    hub.kill_process(process, b"TERM")  # type: ignore[arg-type]
    with hub.locked("x") as held:
        assert_type(held, Held)
    hub.run("sut", "uname -r")  # type: ignore[arg-type]
    hub.run("sut", ["echo", 5])  # type: ignore[list-item]
    hub.run("sut", ["true"], timeout="5")  # type: ignore[arg-type]
    hub.run("sut", ["true"], time=5)  # type: ignore[call-arg]
    hub.barrier("x", members=5)  # type: ignore[arg-type]
    hub.exchange("x", "a,b", "text")  # type: ignore[call-overload]
    hub.send("x", {"k": 5})  # type: ignore[dict-item]


async def asynchronous(hub: linesync.client.aio.Client) -> None:
    assert_type(await hub.barrier("x", 2), BarrierResult)
    assert_type(await hub.exchange("x", "a,b", b"data"), dict[str, bytes])
    async with hub.holding("x", 2) as held:
        assert_type(held, Held)
    await hub.run("sut", "uname -r")  # type: ignore[arg-type]
    await hub.wait_events("x", any=1)  # type: ignore[arg-type]
