"""An endpoint of docs/protocol.md, appendix A.2, serves ``run`` to a client of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from linesync.errors import BusyError, CommandNotFound, Unsupported
from linesync.testing.faults import Faults
from tests.system.world import World

from .on_virtual_time import VirtualEndpoint
from .run_endpoint import make


@pytest.fixture(params=[None, Faults(ber=1e-4, drop=2e-4, printk=3)], ids=["clean", "faults"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with World(seed=4, faults=request.param) as world:
        endpoint = VirtualEndpoint(world, "mcu", make)
        world.settle(lambda: any(host.name == "mcu" for host in world.hub._requests.hosts(world.now)), 20)
        yield world
        endpoint.close()


def test_a_command_runs_and_its_output_and_status_arrive(world: World) -> None:
    client = world.client()
    for words in (("echo", "hello", "two words"), ("echo", "again")):
        result = world.run(client.run("mcu", words, check=False))
        assert (result.exit_code, result.stdout) == (0, " ".join(words[1:]).encode() + b"\n")
    result = world.run(client.run("mcu", ["fill", "3000"], check=False), 120)
    assert (result.exit_code, result.stdout) == (3, b"x" * 3000)


def test_errors_of_the_profile_reach_the_client(world: World) -> None:
    client = world.client()
    with pytest.raises(CommandNotFound):
        world.run(client.run("mcu", ["nonsense"]))
    with pytest.raises(Unsupported):
        world.run(client.run("mcu", ["echo", "x"], user="nobody"))


def test_a_second_command_is_refused_as_busy_and_the_end_of_the_first_frees_the_host(world: World) -> None:
    client = world.client()
    first = world.start(client.run("mcu", ["hang"]))
    world.pass_time(3)
    with pytest.raises(BusyError):
        world.run(client.run("mcu", ["echo", "x"]))
    first.cancel()
    world.settle(first.done, 10)
    with pytest.raises(asyncio.CancelledError):
        first.result()
    world.pass_time(3)
    assert world.run(client.run("mcu", ["echo", "x"])).stdout == b"x\n"
