"""The variables and files that an object sees, at every level."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncError, LinesyncFailed, Mismatch, NotAllowed, UsageError
from linesync.model.testbus import bus as bus_module
from linesync.model.testbus import checks, tree

from .lab import Lab


def test_the_nearest_variable_wins_and_its_deletion_restores_the_outer_one() -> None:
    lab = Lab("sut1")
    outer = lab.test("outer")
    inner = lab.test("inner", within=outer)
    command = lab.command(inner, "echo", "%{X}")
    for value, handle in enumerate((outer, inner, command)):
        lab.bus.set_variables(handle, {"X": str(value)})
        assert lab.bus.variable(command, "X") == str(value)
    assert lab.bus.variable(outer, "X") == "0"
    for expected, handle in (("1", command), ("0", inner), (None, outer)):
        assert lab.bus.unset_variables(handle, ["X", "Y", "X"]) == 1
        assert lab.bus.variable(command, "X") == expected
    assert lab.bus.unset_variables(outer, ["X"]) == 0
    lab.check()


def test_a_test_has_the_published_values_of_its_hosts_by_role() -> None:
    lab = Lab()
    lab.up("sut1", published={"nfspath": "/srv", "primary-ip": "10.0.0.1"})
    lab.up("sut2", published={"nfspath": "/home"})
    outer = lab.test("outer")
    server, _ = lab.claim(outer, "server=sut1", "client=sut2")
    inner = lab.test("inner", within=outer)
    seen = lab.bus.variables(inner)
    assert seen == {
        "host_server_nfspath": "/srv",
        "host_server_primary_ip": "10.0.0.1",
        "host_client_nfspath": "/home",
    }
    lab.publish("sut1", nfspath="/export")
    assert lab.bus.variable(inner, "host_server_nfspath") == "/export"
    lab.bus.set_variables(outer, {"host_server_nfspath": "mine"})
    assert lab.bus.variable(inner, "host_server_nfspath") == "mine"
    lab.release(server)
    assert lab.bus.variables(outer) == {"host_server_nfspath": "mine", "host_client_nfspath": "/home"}


def test_the_chain_of_a_claim_is_the_claim_then_its_host_then_its_test() -> None:
    lab = Lab()
    lab.up("sut1", published={"X": "published", "Y": "published", "2fast": "1", "testbus_Z": "1"})
    test = lab.test()
    (claim,) = lab.claim(test, "server")
    host = lab.bus.handle_of("host", "sut1")
    lab.bus.set_variables(test, {"X": "test", "Y": "test", "T": "test"})
    assert lab.bus.variables(claim) == {
        "X": "published",
        "Y": "published",
        "T": "test",
        "_2fast": "1",
        **{f"host_server_{key}": value for key, value in lab.services._hosts.published("sut1").items()},
    }
    lab.bus.set_variables(host, {"X": "host"})
    assert (lab.bus.variable(claim, "X"), lab.bus.variable(host, "X")) == ("host", "host")
    lab.bus.set_variables(claim, {"X": "claim"})
    assert (lab.bus.variable(claim, "X"), lab.bus.variable(host, "X")) == ("claim", "host")
    lab.delete(test)
    assert lab.bus.variables(host) == {"X": "host", "Y": "published", "_2fast": "1"}


def test_an_inner_file_hides_the_outer_one_until_it_is_deleted() -> None:
    lab = Lab()
    outer = lab.test("outer")
    inner = lab.test("inner", within=outer)
    lab.put(outer, "conf", "a")
    hiding = lab.put(inner, "conf", "b")
    assert lab.bus.files(inner)["conf"].digest == "b" * 64
    assert lab.bus.files(outer)["conf"].digest == "a" * 64
    lab.delete(hiding)
    assert lab.bus.files(inner)["conf"].digest == "a" * 64
    lab.check()


def test_data_is_forgotten_with_the_last_file_that_needs_it() -> None:
    lab = Lab()
    test = lab.test()
    first, second = lab.put(test, "one", "a"), lab.put(test, "two", "a")
    assert lab.put(test, "one", "b") == first
    lab.bus.take_actions()
    lab.delete(second)
    assert [action.digest for action in lab.bus.take_actions()] == ["a" * 64]
    lab.put(test, "one", "b")
    assert lab.bus.take_actions() == [] and lab.bus.digests() == {"b" * 64}
    lab.delete(test)
    assert [action.digest for action in lab.bus.take_actions()] == ["b" * 64]
    lab.check()


def test_a_deletion_removes_everything_below_and_nothing_else() -> None:
    lab = Lab("sut1")
    kept = lab.test("kept")
    before = lab.bus.show(lab.now)
    outer = lab.test("outer")
    inner = lab.test("inner", within=outer)
    (claim,) = lab.claim(inner, "server")
    lab.put(claim, "keytab")
    lab.command(outer, "true")
    lab.bus.set_variables(claim, {"X": "1"})
    lab.check()
    lab.delete(outer)
    assert lab.bus.show(lab.now) == before
    assert [str(action) for action in lab.bus.take_actions()] == [
        f"Forget(digest='{'0' * 64}')",
        f"Release(host='sut1', claim='{claim}')",
    ]
    lab.check()
    assert lab.bus.handle_of("test", "kept") == kept and lab.bus.handle_of("test", "outer") is None
    assert not [key for key in lab.store.rows if key[0] == "test variable"]


def test_a_handle_is_never_used_again() -> None:
    lab = Lab()
    first = lab.test()
    lab.delete(first)
    assert lab.test() != first
    with pytest.raises(LinesyncFailed, match=f"there is no object '{first}'"):
        lab.bus.variables(first)
    lab.store.take(lab.services)
    lab.services = lab.restored()
    assert lab.test() not in (first, "test3")


def test_a_name_that_is_not_unique_is_refused_with_the_handles() -> None:
    lab = Lab()
    first, second = lab.test("nfs"), lab.test("nfs")
    with pytest.raises(Mismatch, match=f"{first}, {second} have it"):
        lab.bus.handle_of("test", "nfs")
    inner = lab.test("nfs", within=second)
    assert lab.bus.handle_of("test", "nfs", within=second) == inner


@pytest.mark.parametrize("handle", ["", "test", "test0", "test99", "host2", "test2x", "test02", "test²", "x" * 500])
def test_a_handle_of_no_object_is_refused(handle: str) -> None:
    lab = Lab()
    assert lab.test() == "test2"
    with pytest.raises(LinesyncFailed, match="there is no object"):
        lab.bus.set_variables(handle, {"X": "1"})


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "a=b", "é", "testbus_x", "a" * 129, "a\n"])
def test_an_invalid_name_of_a_variable_sets_no_variable(name: str) -> None:
    lab = Lab()
    test = lab.test()
    with pytest.raises(UsageError, match="invalid variable name"):
        lab.bus.set_variables(test, {"GOOD": "1", name: "2"})
    assert lab.bus.variables(test) == {}


def test_each_limit_has_its_error_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("sut1")
    test = lab.test()
    lab.bus.set_variables(test, {"X": "1"})
    lab.put(test, "conf")
    before = lab.bus.show(lab.now)

    def refused(call: object, match: str) -> None:
        with pytest.raises(LinesyncError, match=match):
            call()  # type: ignore[operator]
        assert lab.bus.show(lab.now) == before

    refused(lambda: lab.bus.set_variables(test, {"X": "x" * 40_000}), "more than 32768 bytes")
    refused(lambda: lab.bus.set_variables(test, {"X": "a\0"}), "null byte")
    refused(lambda: lab.bus.set_variables(test, {f"X{n}": "x" * 30_000 for n in range(10)}), "do not fit")
    refused(lambda: lab.bus.set_variables(test, {f"X{n}": "" for n in range(1024)}), "1024 variables")
    refused(lambda: lab.put(test, "a}"), "braces")
    refused(lambda: lab.put(test, "x", "z"), "SHA-256")
    refused(lambda: lab.put(test, "x", "a", -1), "invalid file")
    refused(lambda: lab.put(test, "x", "0", 4), "another file with the same digest has 3")
    refused(lambda: lab.command(test), "expected a program")
    refused(lambda: lab.command(test, "a", "b\0"), "null bytes")
    refused(lambda: lab.command(test, *["a"] * 5000), "too long")
    refused(lambda: lab.test("inner", within="host1"), "is not a test")
    refused(lambda: lab.test("a\n"), "control characters")
    refused(lambda: lab.release(test), "is not a claim")
    refused(lambda: lab.delete(test, "test99"), "there is no object 'test99'")
    for module, limit, call, match in (
        (tree, "OBJECTS_MAX", lambda: lab.test("more"), "the limit is 4"),
        (tree, "BELOW_MAX", lambda: lab.command(test, "true"), "has 1 objects, and the limit is 1"),
        (tree, "DEPTH_MAX", lambda: lab.test("inner", within=test), "too deep"),
        (tree, "ENVIRONMENTS_BYTES", lambda: lab.bus.set_variables(test, {"Y": "1"}), "of the test bus have 2 bytes"),
        (tree, "FILES_MAX", lambda: lab.put(test, "more"), "which is the limit"),
        (tree, "FILES_BYTES", lambda: lab.put(test, "more", "a"), "does not fit"),
    ):
        monkeypatch.setattr(module, limit, {"OBJECTS_MAX": 4, "ENVIRONMENTS_BYTES": 3, "FILES_BYTES": 5}.get(limit, 1))
        refused(call, match)
        monkeypatch.undo()


def test_variables_can_fill_an_object_up_to_its_limit_and_free_the_room_again() -> None:
    lab = Lab()
    test = lab.test()
    lab.bus.set_variables(test, {f"X{n:04}": "x" * (checks.ENVIRONMENT_BYTES // 1024 - 5) for n in range(1024)})
    with pytest.raises(LinesyncFailed):
        lab.bus.set_variables(test, {"X0000": "x" * 260})
    lab.bus.set_variables(test, {"X0000": ""})
    lab.bus.set_variables(test, {"X0000": "x" * 251})
    lab.delete(test)
    assert lab.bus._tree.bytes == 0


def test_an_unused_host_leaves_the_bus_only_while_it_has_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab("sut1", "sut2")
    (host,) = lab.value(lab.arrive(lab.bus.create_host, "sut1")).handles
    with pytest.raises(NotAllowed, match="sut1 cannot be deleted: it is up"):
        lab.delete(host)
    lab.claim(lab.test(), "server=sut1")
    lab.down("sut1")
    with pytest.raises(NotAllowed, match=r"test 'nfs' \(test4\) uses it"):
        lab.delete(host)
    monkeypatch.setattr(bus_module, "HOSTS_MAX", 3)
    lab.down("sut2")
    lab.up("sut3")
    assert [one.name for one in lab.objects().values() if one.kind == "host"] == ["hub", "sut1", "sut3"]
    lab.check()


def test_a_retry_of_a_request_gets_the_first_answer() -> None:
    lab = Lab()
    client = lab.client()
    first = lab.bus.create_test("a1", "nfs", client, lab.now)
    assert lab.bus.create_test("a1", "nfs", client, lab.now) == first
    (handle,) = first[0].value.handles
    deleted = lab.bus.delete("a2", [handle], client, lab.now)
    assert lab.bus.delete("a2", [handle], client, lab.now) == deleted
    assert len(lab.objects()) == 1
