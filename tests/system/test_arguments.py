"""Both clients check the arguments of every public method at the call, before they send a message."""

from __future__ import annotations

import inspect
import io
import math
import pydoc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linesync.client import aio, blocking
from linesync.client.blocking import BlockingClient
from linesync.client.jobs.detached import Attachment
from linesync.client.operations import Operations
from linesync.client.sync import Held, TopicMessage
from linesync.errors import UsageError
from linesync.runtime.channels.streams import Stream

from .world import World

GOOD: dict[str, Any] = {
    "name": "x",
    "names": "x",
    "topic": "x",
    "items": "k=v",
    "host": "sut",
    "from_host": "sut",
    "to_host": "hub",
    "permission": "run",
    "members": ["sut"],
    "delta": 0,
    "count": 1,
    "token": 1,
    "argv": ["true"],
    "path": "/x",
    "address": "localhost:80",
    "sources": [("sut", "/x")],
    "descriptor": 0,
    "data": b"",
    "stream": object.__new__(Stream),
    "process": "sut/1",
    "attachment": object.__new__(Attachment),
    "held": Held(arrival="x", value=1),
}
"""Valid arguments for the parameters that have no default."""
NAMES = ["", "a\nb", "n" * 201, "\udc80"]
HOSTS = ["", "a b", "a,b", "h" * 65]
INVALID: dict[str, list[Any]] = {
    "timeout": [-1, -0.1, math.nan, math.inf, 10**10, 10**400],
    "name": NAMES,
    "names": NAMES,
    "topic": NAMES,
    "namespace": NAMES,
    "role": ["\n"],
    "host": HOSTS,
    "from_host": HOSTS,
    "to_host": HOSTS,
    "permission": ["\udc80"],
    "uid": [-1, 1 << 32],
    "user": ["\udc80"],
    "member": ["a b", "a#b#c"],
    "members": [["a b"], "a[1-", "a,,b"],
    "arrival": ["\n", "é", "a" * 65],
    "within": ["\n"],
    "reuse": ["sometimes", "linger=0"],
    "abort": ["\udc80"],
    "boot_after": ["\udc80"],
    "items": [{"a=b": "c"}, {"": "c"}, "\udc80"],
    "count": [-1],
    "delta": [10**18, -(10**18)],
    "units": [0],
    "bound": [-1],
    "token": [-1],
    "first": [0],
    "most": [0],
    "argv": [[], [""], ["a\0b"], ["a", "\udcff"]],
    "env": [{"a=b": "c"}, {"": "c"}, {"a": "\0"}],
    "cwd": ["\0"],
    "path": ["", "a\0b", "\udcff"],
    "address": ["", "localhost", "unix:relative", "localhost:99999", "a b:1", "\udcff"],
    "sources": [[], [""], [("", "a\0b")], [("a b", "/x")]],
    "rate": [-1],
    "descriptor": [-1],
    "process": ["", "sut", "sut/0", "sut/-1", "sut/1x", "a b/1", "sut/../1"],
    "since": [-1],
    "tail": [-1],
    "signal": [-1, 65, "NOSUCH"],
    "end_after": [-1, math.nan],
}
"""Invalid values of the right type, for the parameters that have such values."""
WRONG_TYPES: dict[str, list[Any]] = {
    "argv": ["uname -r", b"uname", [b"x"], ["echo", 5], {"a"}],
    "env": [{"K": 5}, {5: "v"}, ["K=V"]],
    "items": [{"k": 5}, {5: "v"}, b"k=v"],
    "members": [b"a,b", [5], [b"a"], 5],
    "timeout": ["5", True, [5]],
    "count": ["2", 2.0, True],
    "delta": [1.5, "1"],
    "data": ["text", io.StringIO("text")],
    "path": [b"/x"],
    "sources": ["/x", b"/x", Path("/x"), [5], [("sut",)]],
    "descriptor": [True, "0"],
    "stdin": ["text"],
    "check": [1],
    "device": ["no"],
    "host": [["sut"], b"sut"],
    "uid": ["root", True],
    "signal": [b"TERM", True],
    "output": [1],
    "on_output": ["text"],
}
"""Values of a wrong type, in addition to an object, which every parameter refuses."""


def methods() -> dict[str, Callable[..., Any]]:
    return {
        name: method
        for name, method in inspect.getmembers(Operations, inspect.isfunction)
        if not name.startswith("_") and name not in ("heard_revoked", "session_over")
    }


def good(method: str, parameter: str) -> Any:
    if parameter in ("source", "target"):
        return ("sut", "/x") if method in ("pass_file", "copy") else Path("/x")
    return GOOD.get(parameter)


def clients() -> list[Any]:
    """A client of each kind. They have no connection, so a call with valid arguments fails with another error."""
    operations = Operations(None)  # type: ignore[arg-type]
    client = object.__new__(BlockingClient)
    client.operations = operations
    client.peer = SimpleNamespace(begin_again=lambda seconds: None)  # type: ignore[assignment]
    return [operations, client]


def refusals(method: str, parameter: str, value: Any) -> list[Exception]:
    """The errors of both clients for one argument."""
    errors = []
    for client in clients():
        args, named = [], {}
        for declared in list(inspect.signature(getattr(Operations, method)).parameters.values())[1:]:
            given = value if declared.name == parameter else good(method, declared.name)
            if declared.kind is declared.KEYWORD_ONLY:
                if declared.name == parameter:
                    named[declared.name] = value
            elif declared.name == parameter or declared.default is declared.empty:
                args.append(given)
            else:
                args.append(declared.default)
        with pytest.raises((TypeError, ValueError)) as caught:
            getattr(client, method)(*args, **named)
        errors.append(caught.value)
    return errors


@pytest.mark.parametrize("method", methods())
def test_a_wrong_argument_is_an_error_at_the_call_that_names_the_parameter(method: str) -> None:
    for parameter, declared in list(inspect.signature(methods()[method]).parameters.items())[1:]:
        for value in [object(), *WRONG_TYPES.get(parameter, [])]:
            for error in refusals(method, parameter, value):
                assert type(error) is TypeError and parameter in str(error) and "expected" in str(error), error
        for value in INVALID.get(parameter, []):
            if value == declared.default or (method in ("console", "trace") and parameter == "host"):
                continue  # this parameter may also be the port of a line
            for error in refusals(method, parameter, value):
                assert type(error) is UsageError and parameter.removesuffix("s") in str(error), error


@pytest.mark.parametrize("connect", [aio.connect, blocking.connect_blocking])
def test_connecting_checks_its_arguments(connect: Any) -> None:
    for named in ({"endpoint": 5}, {"endpoint": None}, {"endpoint": "unix:/x", "timeout": "5"}):
        with pytest.raises(TypeError, match="invalid (endpoint|timeout)"):
            connect(**named)
    with pytest.raises(ValueError, match="invalid timeout -1"):
        connect("unix:/x", timeout=-1)


def test_the_error_for_one_text_instead_of_a_list_says_what_to_write() -> None:
    for error in refusals("run", "argv", "uname -r"):
        assert "['uname', '-r'], or ['sh', '-c', text] for a shell" in str(error)


def test_both_clients_have_the_same_methods_with_the_same_signatures_and_docstrings() -> None:
    only_blocking = {"close", "run_coroutine"}
    public = {
        name: method
        for name, method in inspect.getmembers(BlockingClient, inspect.isfunction)
        if not name.startswith("_") and name not in only_blocking
    }
    assert public.keys() == methods().keys()
    for name, method in methods().items():
        asyncio_signature, blocking_signature = inspect.signature(public[name]), inspect.signature(method)
        assert asyncio_signature.parameters == blocking_signature.parameters
        if name not in ("changes", "group", "open_connection"):  # the clients return different classes
            assert asyncio_signature == blocking_signature and public[name].__doc__ == method.__doc__
    shown = pydoc.plain(pydoc.render_doc(BlockingClient.run))
    assert "run(self, host: 'str', argv: " in shown and "P.args" not in shown and ":param argv:" in shown


def test_arguments_may_have_every_form_that_python_programs_use(make: Callable[..., World]) -> None:
    world = make()
    client = world.client()
    members = (name for name in ["hub"])  # an iterator, which can be read only once
    assert world.run(client.barrier("x", members=members)).parties == ("hub",)
    assert world.run(client.barrier("x", members="hub")).generation == 2
    assert world.run(client.exchange("x", {"hub": 1}, memoryview(b"data"))) == {"hub": b"data"}
    assert world.run(client.send("m", {"ip": "10.0.0.1", "eq": "a=b"}, "port=5", "ready")) == 1
    (message,) = world.run(client.receive("m"))
    assert message.items == ("ip=10.0.0.1", "eq=a=b", "port=5", "ready")
    assert message.values == {"ip": "10.0.0.1", "eq": "a=b", "port": "5", "ready": ""}
    assert world.run(client.send("n", message.values, timeout=1)) == 1


def test_a_message_that_repeats_a_key_has_its_last_value() -> None:
    assert TopicMessage(number=1, sender="hub", items=("a=1", "a=2")).values == {"a": "2"}
