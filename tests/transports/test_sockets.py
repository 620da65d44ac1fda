"""TCP and unix sockets: permissions, stale sockets, and the errors that name each problem."""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from linesync.errors import BusyError, LinesyncError, LinesyncFailed, UsageError
from linesync.testing.recorder import Recorder
from linesync.transports import connect, listen
from tests.real import free_port


def failure(endpoint: str, *, listening: bool = False, **options: str) -> LinesyncError:
    """Return the error that is raised when the endpoint is opened."""

    async def attempt() -> None:
        if listening:
            await listen(endpoint, lambda: Recorder("listening"), **options)  # type: ignore[arg-type]
        else:
            await connect(endpoint, lambda: Recorder("calling"))

    with pytest.raises(LinesyncError) as caught:
        asyncio.run(attempt())
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_error_of_a_refused_connection_suggests_a_check() -> None:
    for host in ("127.0.0.1", "localhost"):
        error = failure(f"tcp://{host}:{free_port()}")
        assert type(error) is LinesyncFailed
        assert f"the connection was refused; start linesync on {host} or check the port" in str(error)


def test_an_unknown_host_is_named() -> None:
    assert "the host 'nowhere.invalid' is unknown" in str(failure("tcp://nowhere.invalid:1"))
    assert "is unknown" in str(failure(f"tcp://{'x' * 70}.invalid:1"))
    assert "is unknown" in str(failure("tcp://nowhere.invalid:1", listening=True))


def test_port_0_is_for_listening_only() -> None:
    error = failure("tcp://127.0.0.1:0")
    assert isinstance(error, UsageError) and "only for listening" in str(error)


def test_a_missing_socket_is_named(tmp_path: Path) -> None:
    assert f"there is no socket {tmp_path}/s" in str(failure(f"unix:{tmp_path}/s"))


def test_a_path_that_is_not_a_socket_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    assert "is not a socket; name the socket of a hub" in str(failure(f"unix:{tmp_path}/s"))
    assert "exists and is not a socket; remove it" in str(failure(f"unix:{tmp_path}/s", listening=True))
    assert (tmp_path / "s").exists()


def test_a_socket_without_a_listener_is_named(tmp_path: Path) -> None:
    leave_stale(tmp_path / "s")
    assert "no process listens on" in str(failure(f"unix:{tmp_path}/s"))


def test_the_error_of_a_socket_without_permission_has_an_instruction(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")

    async def scenario() -> str:
        os.chmod(tmp_path, 0o755)
        for parent in tmp_path.parents[:2]:
            os.chmod(parent, 0o755)
        listener = await listen(f"unix:{tmp_path}/s", lambda: Recorder("listening"))
        script = (
            "import os, sys, asyncio, linesync.transports as t, linesync.transports.sockets, socket\n"
            "from linesync.testing.recorder import Recorder\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            f"try: asyncio.run(t.connect('unix:{tmp_path}/s', lambda: Recorder('x')))\n"
            "except Exception as error: print(error)"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
        shown, _ = await process.communicate()
        await listener.aclose()
        return shown.decode()

    assert "you may not use" in asyncio.run(scenario())


def test_a_path_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    long = f"unix:{tmp_path}/{'x' * 110}"
    assert "at most 107 bytes" in str(failure(long))
    assert "at most 107 bytes" in str(failure(long, listening=True))


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert f"there is no directory {tmp_path}/no" in str(failure(f"unix:{tmp_path}/no/s", listening=True))


def test_an_unknown_group_is_named(tmp_path: Path) -> None:
    assert "has no group 'no-such'" in str(failure(f"unix:{tmp_path}/s", listening=True, group="no-such"))


@pytest.mark.parametrize("endpoint", ["/dev/ttyS0", "stdio:", "exec:true", "loop://"])
def test_only_tcp_and_unix_endpoints_can_be_listened_on(endpoint: str) -> None:
    error = failure(endpoint, listening=True)
    assert isinstance(error, UsageError) and "listen on tcp://host:port or unix:/path" in str(error)


def test_a_port_in_use_and_a_foreign_address_have_different_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = failure(f"tcp://127.0.0.1:{port}", listening=True)
    assert isinstance(error, BusyError) and f"another process uses the port {port}" in str(error)
    assert "is not an address of this machine" in str(failure("tcp://192.0.2.1:0", listening=True))


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_only_the_owner_may_use_a_unix_socket_unless_a_group_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        old = os.umask(0)
        try:
            for options, mode in (({}, 0o600), ({"mode": 0o622}, 0o622)):
                listener = await listen(f"unix:{tmp_path}/s", lambda: Recorder("x"), **options)  # type: ignore[arg-type]
                assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
                await listener.aclose()
            group = grp.getgrgid(os.getgid()).gr_name
            listener = await listen(f"unix:{tmp_path}/s", lambda: Recorder("x"), group=group)
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
            assert (tmp_path / "s").stat().st_gid == os.getgid()
            await listener.aclose()
        finally:
            os.umask(old)

    asyncio.run(scenario())


def test_a_stale_socket_is_replaced_but_a_live_socket_is_not(tmp_path: Path) -> None:
    leave_stale(tmp_path / "s")

    async def scenario() -> None:
        listener = await listen(f"unix:{tmp_path}/s", lambda: Recorder("first"))
        with pytest.raises(BusyError, match="another process already listens there; stop it"):
            await listen(f"unix:{tmp_path}/s", lambda: Recorder("second"))
        called = Recorder("calling")
        line = await connect(f"unix:{tmp_path}/s", lambda: called)
        assert line.info.peer == f"pid {os.getpid()}, uid {os.getuid()}"
        await listener.aclose()
        await listener.aclose()
        assert not (tmp_path / "s").exists()
        line.write(b"open lines stay")
        await asyncio.sleep(0.05)
        assert not called.lost
        line.abort()
        await called.until_lost()
        await asyncio.sleep(0.05)  # until the accepting ends are open

    asyncio.run(scenario())


def test_one_of_many_processes_replaces_a_stale_socket(tmp_path: Path) -> None:
    leave_stale(tmp_path / "s")

    async def scenario() -> None:
        attempts = [listen(f"unix:{tmp_path}/s", lambda: Recorder("x")) for _ in range(5)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["BusyError"] * 4 + ["SocketListener"]
        for result in results:
            if not isinstance(result, BaseException):
                await result.aclose()

    asyncio.run(scenario())


def test_closing_does_not_remove_a_path_that_another_process_took(tmp_path: Path) -> None:
    async def scenario() -> None:
        listener = await listen(f"unix:{tmp_path}/s", lambda: Recorder("x"))
        (tmp_path / "s").unlink()
        leave_stale(tmp_path / "s")
        await listener.aclose()
        assert (tmp_path / "s").exists()

    asyncio.run(scenario())


def test_a_listener_on_a_relative_path_reports_an_endpoint_for_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def scenario() -> None:
        listener = await listen("unix:s", lambda: Recorder("x"))
        assert listener.endpoint == f"unix:{tmp_path}/s"
        await listener.aclose()
        assert not os.listdir(tmp_path)

    asyncio.run(scenario())


def test_a_listener_knows_its_port_and_a_line_knows_its_peer() -> None:
    async def scenario() -> None:
        accepted = Recorder("accepted")
        listener = await listen("tcp://localhost:0", lambda: accepted)
        host, _, port = listener.endpoint.rpartition(":")
        assert host == "tcp://localhost" and int(port) > 0
        called = Recorder("calling")
        line = await connect(listener.endpoint, lambda: called)
        await accepted.until(lambda: accepted.made, "the listener should accept")
        assert line.info.kind == "tcp" and line.info.eight_bit and not line.info.shared
        assert line.info.peer.endswith(f":{port}")
        sock = line._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for end in (called, accepted):
            end.abort()
            await end.until_lost()
        await listener.aclose()

    asyncio.run(scenario())
