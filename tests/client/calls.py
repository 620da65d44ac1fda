"""One call of each operation that has a timeout, for both clients, and the error of each call if the hub does not answer."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from typing import Any

from linesync.client.operations import Operations
from linesync.client.sync import Held

__all__ = ["CALLS", "MAY_HAVE", "with_timeout"]

_INPUT = open(__file__, "rb")  # noqa: SIM115 - it stays open as long as this module
_OUTPUT = tempfile.TemporaryFile()  # noqa: SIM115


def _enter(block: Any) -> Any:
    return block.__aenter__() if hasattr(block, "__aenter__") else block.__enter__()


CALLS: dict[str, Callable[[Any, float], Any]] = {
    "barrier": lambda client, timeout: client.barrier("x", 2, timeout=timeout),
    "semaphore": lambda client, timeout: client.semaphore("x", -1, timeout=timeout),
    "hold": lambda client, timeout: client.hold("x", timeout=timeout),
    "lock": lambda client, timeout: client.lock("x", timeout=timeout),
    "locked": lambda client, timeout: _enter(client.locked("x", timeout=timeout)),
    "holding": lambda client, timeout: _enter(client.holding("x", timeout=timeout)),
    "unlock": lambda client, timeout: client.unlock("x", 1, timeout=timeout),
    "give_back": lambda client, timeout: client.give_back(Held(arrival="x", value=1), timeout=timeout),
    "set_events": lambda client, timeout: client.set_events("x", timeout=timeout),
    "clear_events": lambda client, timeout: client.clear_events("x", timeout=timeout),
    "wait_events": lambda client, timeout: client.wait_events("x", timeout=timeout),
    "send": lambda client, timeout: client.send("x", timeout=timeout),
    "receive": lambda client, timeout: client.receive("x", timeout=timeout),
    "receive_all": lambda client, timeout: client.receive_all("x", timeout=timeout),
    "namespaces": lambda client, timeout: client.namespaces(timeout=timeout),
    "begin_namespace": lambda client, timeout: client.begin_namespace("x", timeout=timeout),
    "end_namespace": lambda client, timeout: client.end_namespace("x", timeout=timeout),
    "namespace": lambda client, timeout: _enter(client.namespace("x", timeout=timeout)),
    "reset": lambda client, timeout: client.reset("x", timeout=timeout),
    "exchange": lambda client, timeout: client.exchange("x", ["a", "b"], b"data", timeout=timeout),
    "hosts": lambda client, timeout: client.hosts(timeout=timeout),
    "status": lambda client, timeout: client.status(timeout=timeout),
    "changes": lambda client, timeout: client.changes(timeout=timeout),
    "drain": lambda client, timeout: client.drain(timeout=timeout),
    "group": lambda client, timeout: client.group("g", timeout=timeout),
    "join_group": lambda client, timeout: client.join_group("g", timeout=timeout),
    "leave_group": lambda client, timeout: client.leave_group("g", timeout=timeout),
    "cast_group": lambda client, timeout: client.cast_group("g", b"", timeout=timeout),
    "wait_group": lambda client, timeout: client.wait_group("g", 5, timeout=timeout),
    "rerun_group": lambda client, timeout: client.rerun_group("g", timeout=timeout),
    "stop_group": lambda client, timeout: client.stop_group("g", timeout=timeout),
    "group_state": lambda client, timeout: client.group_state("g", timeout=timeout),
    "check_policy": lambda client, timeout: client.check_policy("sut", "hub", "run", timeout=timeout),
    "wait_host": lambda client, timeout: client.wait_host("b", boot_after="never", timeout=timeout),
    "reboot_host": lambda client, timeout: client.reboot_host("b", ["true"], timeout=timeout),
    "links": lambda client, timeout: client.links(timeout=timeout),
    "run": lambda client, timeout: client.run("b", ["true"], timeout=timeout),
    "start_detached": lambda client, timeout: client.start_detached("b", ["true"], timeout=timeout),
    "processes": lambda client, timeout: client.processes("b", timeout=timeout),
    "wait_process": lambda client, timeout: client.wait_process("b/1", timeout=timeout),
    "follow_process": lambda client, timeout: client.follow_process(client.attach_process("b/1"), timeout=timeout),
    "process_log": lambda client, timeout: client.process_log("b/1", timeout=timeout),
    "kill_process": lambda client, timeout: client.kill_process("b/1", timeout=timeout),
    "get_file": lambda client, timeout: client.get_file("b", "/x", "/nowhere/x", timeout=timeout),
    "put_file": lambda client, timeout: client.put_file(__file__, "b", "/x", timeout=timeout),
    "open_connection": lambda client, timeout: client.open_connection("b", "localhost:80", timeout=timeout),
    "get_stream": lambda client, timeout: client.get_stream("b", "/x", _OUTPUT.fileno(), timeout=timeout),
    "put_stream": lambda client, timeout: client.put_stream(_INPUT.fileno(), "b", "/x", timeout=timeout),
    "copy": lambda client, timeout: client.copy([__file__], ("b", "/x"), timeout=timeout),
    "pass_file": lambda client, timeout: client.pass_file(("b", "/x"), ("a", "/x"), timeout=timeout),
}
MAY_HAVE = frozenset(
    {
        "barrier",
        "begin_namespace",
        "clear_events",
        "drain",
        "end_namespace",
        "give_back",
        "group",
        "join_group",
        "kill_process",
        "leave_group",
        "cast_group",
        "rerun_group",
        "stop_group",
        "namespace",
        "copy",
        "put_file",  # the whole file was sent
        "put_stream",
        "reset",
        "run",
        "send",
        "set_events",
        "start_detached",
        "unlock",
    }
)
"""The operations that may have had an effect although there was no answer. They end with LinesyncFailed. All other operations
certainly had no effect, and end with TimedOut."""


def with_timeout() -> set[str]:
    """The public operations that wait and have a timeout. ``finish`` is a part of ``run``."""
    starts = ("start", "create_process")
    methods = inspect.getmembers(Operations, inspect.isfunction)
    return {
        name
        for name, method in methods
        if not name.startswith("_") and "timeout" in inspect.signature(method).parameters and name not in starts
    }
