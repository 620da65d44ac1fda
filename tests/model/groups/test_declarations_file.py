"""The file that declares the services of a group."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError
from linesync.model.groups.declarations_file import ServicesFile, read_services

EXAMPLE = """
group = "storage"
quorum = 2
init = "in-turn"
on-failure = "retry"
retries = 7
backoff = 0.5

[service.nfs-client]
hosts = "sut[2-3]"
after = ["nfs-server"]
needs = {nfs-server = "healthy", network = "completed"}
process = ["mount", "/srv"]
serialize = true
timeout = 20
timeouts = {process = 60.5}

[service.network]
version = "1.2"
process = "ip link set eth0 up && dhclient eth0"

[service.nfs-server]
hosts = ["sut1"]
after = ["network"]
keystone = true
check = ["showmount", "-e"]
check-interval = 2
check-timeout = 3
"""


def read(text: str) -> ServicesFile:
    return read_services(text, "nfs.toml")


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(text)
    return caught.value.message


def test_a_file_gives_declarations_in_order_and_commands() -> None:
    found = read(EXAMPLE)
    assert (found.group, found.quorum, found.init, found.activate) == ("storage", 2, "in-turn", "after")
    assert (found.on_failure, found.retries, found.backoff) == ("retry", 7, 0.5)
    network, server, client = found.services
    assert [one.name for one in found.services] == ["network", "nfs-server", "nfs-client"]
    assert network.version == "1.2"
    assert (server.keystone, server.checked, server.interval, server.check_timeout) == (True, True, 2, 3)
    assert client.hosts == ("sut2", "sut3") and client.serialize
    assert client.needs == {"nfs-server": "healthy", "network": "completed"}
    assert (client.timeout("init"), client.timeout("process")) == (20, 60.5)
    assert (client.on("sut2"), client.on("sut1"), network.on("sut1")) == (True, False, True)


def test_a_command_is_a_list_of_words_or_a_text_for_the_shell() -> None:
    commands = read(EXAMPLE).commands
    assert commands["nfs-client"] == {"process": ("mount", "/srv")}
    assert commands["network"] == {"process": ("/bin/sh", "-c", "ip link set eth0 up && dhclient eth0")}


def test_an_empty_file_declares_a_group_without_services() -> None:
    assert read("") == ServicesFile(group="services", services=(), commands={})


def test_a_host_may_have_as_many_services_as_the_hub_accepts_and_all_hosts_together_more() -> None:
    most = "".join(f"[service.s{n}]\nhosts = ['sut{n % 2}']\n" for n in range(2000))
    assert len(read_services(most, "nfs.toml").services) == 2000


def test_needs_may_be_a_list_of_services_that_must_have_started() -> None:
    client = read('[service.a]\n[service.b]\nneeds = ["a"]').services[1]
    assert client.needs == {"a": "started"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group =", "nfs.toml is not TOML: Invalid value (at "),
        ("grup = 'a'", "unknown key 'grup' in nfs.toml; did you mean group?"),
        ("[service.a]\nprocces = 'x'", "unknown key 'service.a.procces' in nfs.toml; did you mean process?"),
        ("[service.a]\nzzz = 1", "unknown key 'service.a.zzz' in nfs.toml; the keys here are abort, activate, after"),
        ("service = 1", "invalid value 1 of the key 'service' in nfs.toml: expected tables of services"),
        ("[service]\na = 1", "invalid value 1 of the key 'service.a' in nfs.toml: expected a table"),
        ("quorum = -1", "invalid value -1 of the key 'quorum' in nfs.toml: expected a number of members from 0"),
        ("quorum = true", "invalid value True of the key 'quorum' in nfs.toml"),
        ("group = ''", "nfs.toml: invalid group name: expected 1 to 200 bytes"),
        ("init = 'last'", "invalid value 'last' of the key 'init' in nfs.toml: expected \"first\" or"),
        ("[service.a]\nid = 1.5", "invalid value 1.5 of the key 'service.a.id' in nfs.toml: expected a whole number"),
        (
            "[service.a]\nprocess = []",
            "invalid value [] of the key 'service.a.process' in nfs.toml: expected a command",
        ),
        ("[service.a]\nprocess = ''", "invalid value '' of the key 'service.a.process' in nfs.toml"),
        ('[service.a]\nprocess = "a\\u0000"', "invalid value 'a\\x00' of the key 'service.a.process'"),
        (
            "[service.a]\ntimeout = 0",
            "invalid value 0 of the key 'service.a.timeout' in nfs.toml: expected more than 0",
        ),
        ("[service.a]\ntimeouts = {go = 1}", "invalid value {'go': 1} of the key 'service.a.timeouts' in nfs.toml"),
        (
            "[service.a]\nhosts = 'a['",
            "invalid value 'a[' of the key 'service.a.hosts' in nfs.toml: expected a list of",
        ),
        (
            "[service.a]\nserialize = 1",
            "invalid value 1 of the key 'service.a.serialize' in nfs.toml: expected true or",
        ),
        (
            "[service.a]\nkeystone = true",
            "invalid value True of the key 'service.a.keystone' in nfs.toml: expected a check in",
        ),
        (
            "backoff = 61",
            "invalid value 61 of the key 'backoff' in nfs.toml: expected more than 0 and at most 60 seconds",
        ),
        (
            "quorum = 1001",
            "invalid value 1001 of the key 'quorum' in nfs.toml: expected a number of members from 0 to 1000",
        ),
        (
            "[service.a]\non-failure = 'no'",
            'invalid value \'no\' of the key \'service.a.on-failure\' in nfs.toml: expected "retry", "exclude" or "stop"',
        ),
        (
            "".join(f"[service.s{n}]\n" for n in range(1001)),
            "nfs.toml: a host has 1001 services with their gates; it may have 1000, so declare fewer",
        ),
        ("[service.a]\nneeds = {b = 1}", "invalid value {'b': 1} of the key 'service.a.needs' in nfs.toml"),
        ("[service.a]\nafter = ['b']", "nfs.toml: the service a names b in after, which is not declared"),
        ("[service.'a b']", "nfs.toml: invalid service name 'a b'"),
        ("[service.a]\nid = 1\n[service.b]\nid = 2\nneeds = ['c']", "nfs.toml: the service b names c in needs"),
    ],
)
def test_a_wrong_file_gives_an_error_that_names_file_key_and_expectation(text: str, message: str) -> None:
    assert refused(text).startswith(message)
