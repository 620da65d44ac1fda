"""Timeouts of the blocking client, and of connecting."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import linesync
from linesync.client import deadlines, operations
from linesync.client.blocking import BlockingClient
from linesync.errors import LinesyncError, LinesyncFailed, TimedOut
from tests.client.calls import CALLS, MAY_HAVE
from tests.e2e import kit

SHORT = 0.02


@pytest.fixture
def client_of_stopped_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingClient]:
    """A client of a hub whose process is stopped by SIGSTOP. The connection stays open."""
    with kit.site() as site:
        hub = site.hub()
        hub.says("scripts on this machine")
        client = linesync.connect_blocking(f"unix:{site.socket('hub')}")
        hub.process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(deadlines, "GRACE", SHORT)
        monkeypatch.setattr(operations, "_TO_END", SHORT)
        yield client
        client.close()


def test_each_call_of_a_blocking_client_ends_at_its_timeout_although_the_hub_is_stopped(
    client_of_stopped_hub: BlockingClient,
) -> None:
    for name, call in CALLS.items():
        with pytest.raises(LinesyncError) as caught:
            call(client_of_stopped_hub, 0.03)
        assert type(caught.value) is (LinesyncFailed if name in MAY_HAVE else TimedOut), (name, caught.value)


def test_a_blocking_exchange_ends_at_its_timeout_although_the_source_of_its_data_blocks(
    client_of_stopped_hub: BlockingClient,
) -> None:
    reader, writer = os.pipe()
    with open(writer, "wb"), open(reader, "rb", buffering=0) as data:
        with pytest.raises(TimedOut, match="nothing was changed"):
            client_of_stopped_hub.exchange("keys", "a,hub", data, timeout=0.1)


def test_a_copy_with_a_timeout_that_is_long_enough_arrives(pair: kit.Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    with linesync.connect_blocking(f"unix:{pair.socket('hub')}", timeout=30) as client:
        assert client.put_file(source, "sut", str(tmp_path / "there"), timeout=30) == 3_000_000
        assert client.get_file("sut", str(tmp_path / "there"), tmp_path / "back", timeout=30) == 3_000_000
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_connecting_ends_at_its_timeout_and_leaves_no_connection(tmp_path: Path) -> None:
    endpoint = f"unix:{tmp_path}/silent"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/silent")
        silent.listen(0)
        with pytest.raises(TimedOut, match="no linesync hub or agent answered"):
            linesync.connect_blocking(endpoint, timeout=0.1)
        assert silent.accept()[0].recv(1 << 16)
        with pytest.raises(TimedOut, match="no linesync hub or agent answered"):
            asyncio.run(linesync.connect(endpoint, timeout=0.1))
        caller = silent.accept()[0]
        while caller.recv(1 << 16):
            pass  # read until the end of the connection
        with socket.socket(socket.AF_UNIX) as first:  # it fills the queue of connections that wait for accept()
            first.connect(f"{tmp_path}/silent")
            with pytest.raises(TimedOut):
                linesync.connect_blocking(endpoint, timeout=0.1)


def test_connecting_through_a_command_that_does_not_end_ends_at_its_timeout() -> None:
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(TimedOut):
            linesync.connect_blocking("exec:sleep 60", timeout=0.1)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    assert ended.wait(15)
