"""The policy of a hub with real processes: refusals, exit codes, users of the hub's socket, and the audit log."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.kit import LINESYNC, Site, site, wait_for

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """A hub without rules, and the hosts sut and build."""
    with site() as place:
        place.policy.write_text("")
        place.folder.chmod(0o755)
        line = f"unix:{place.folder}/line.sock"
        audit = ("--audit", str(place.folder / "audit.jsonl"))
        place.hub("--listen", line, "--socket-group", str(_group()), *audit)
        wait_for(lambda: (place.folder / "line.sock").exists(), "the hub")
        for name in ("sut", "build"):
            place.agent("--port", line, name=name)
            place.await_host(name)
        yield place


def _group() -> str:
    import grp

    return grp.getgrgid(NOBODY.pw_gid).gr_name


def set_policy(place: Site, text: str) -> None:
    """Let the hub read these rules."""
    hub = place.daemons[0]
    count = hub.log.count("the policy ")
    place.policy.write_text(text)
    hub.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: hub.log.count("the policy ") > count, "the hub reads its policy")


def audit(place: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place.folder / "audit.jsonl").read_text().splitlines()]


def test_a_host_may_not_work_on_other_hosts_without_a_rule(place: Site) -> None:
    set_policy(place, "")
    process = place.type("hub", "run", "build", "--detach", "--", "sleep", "300").text.strip()
    for words in (
        ["run", "hub", "--", "true"],
        ["run", "build", "--", "true"],
        ["run", "build", "--detach", "--", "true"],
        ["proc", "wait", process],
        ["proc", "attach", process],
    ):
        done = place.type("sut", *words)
        assert (done.code, done.out) == (126, b"") and "not allowed: a script on sut may not run" in done.err
    for words in (
        ["proc", "kill", process],
        ["proc", "log", process],
        ["cp", "build:/etc/hostname", "copy"],
        ["cp", "/etc/hostname", "hub:copy"],
        ["trace", "build"],
        ["drain"],
    ):
        done = place.type("sut", *words)
        assert done.code == 7 and "not allowed: a script on sut may not" in done.err, (words, done)
    assert "running" in place.type("sut", "proc", "ls", "build").text, (
        "looking is allowed, and nothing ended the process"
    )
    assert place.type("hub", "proc", "kill", process).code == 0
    assert not (place.folder / "copy").exists()
    assert place.type("sut", "run", "sut", "--", "echo", "own").text == "own\n"
    assert place.type("sut", "sem", "x", "0").code == 0
    assert place.type("sut", "hosts").code == 0
    assert place.type("hub", "run", "sut,build", "--", "true").code == 0


def test_a_rule_takes_effect_at_the_signal_and_a_wrong_file_changes_nothing(place: Site) -> None:
    set_policy(place, 'allow = [{from = "sut", to = "build", do = ["run"]}]')
    assert place.type("sut", "run", "build", "--", "echo", "hello").text == "hello\n"
    assert place.type("sut", "run", "hub", "--", "true").code == 126
    assert place.type("build", "run", "sut", "--", "true").code == 126
    set_policy(place, "allow = [{do = ['rum']}]")
    assert "the policy stays as it is: unknown permission 'rum'" in place.daemons[0].log
    assert place.type("sut", "run", "build", "--", "true").code == 0
    checked = place.type("hub", "policy", "check", "sut", "build", "run", "--json")
    assert checked.code == 0 and json.loads(checked.out)["rule"] == 'allow {from = "sut", to = "build", do = ["run"]}'
    assert place.type("hub", "policy", "check", "sut", "hub", "run").code == 7
    assert place.type("hub", "policy", "check", "sut", "hub", "rum").code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_user_of_the_socket_needs_a_rule_that_names_it(place: Site) -> None:
    def as_nobody(*words: str) -> subprocess.CompletedProcess[bytes]:
        argv = [LINESYNC, "--hub", f"unix:{place.socket('hub')}", *words]
        env = {**place.env, "HOME": "/"}
        return subprocess.run(
            argv,
            env=env,
            capture_output=True,
            user=NOBODY.pw_uid,
            group=NOBODY.pw_gid,
            extra_groups=[],
            cwd="/",
            timeout=30,
        )

    set_policy(place, 'allow = [{from = "hub", users = ["daemon"], do = ["run"]}]')
    refused = as_nobody("run", "sut", "--", "true")
    assert refused.returncode == 126
    assert f"a script on hub (user id {NOBODY.pw_uid}) may not run commands on sut" in refused.stderr.decode()
    assert as_nobody("sem", "x", "0").returncode == 0
    set_policy(place, f'allow = [{{from = "hub", users = ["@{_group()}"], do = ["run"]}}]')
    assert as_nobody("run", "sut", "--", "echo", "allowed").stdout == b"allowed\n"
    assert as_nobody("run", "hub", "--", "true").returncode == 0


def test_the_audit_log_has_each_operation_with_its_principal_and_its_result(place: Site) -> None:
    set_policy(place, "")
    count = len(audit(place))
    assert place.type("sut", "run", "hub", "--", "reboot", "now").code == 126
    assert place.type("hub", "run", "build", "--", "true").code == 0
    assert place.type("hub", "cp", "build:/etc/hostname", "copied").code == 0
    wait_for(lambda: len(audit(place)) >= count + 3, "three lines")
    refused, ran, copied = audit(place)[count:]
    assert (refused["operation"], refused["target"], refused["result"]) == ("run", "hub", "refused")
    assert (
        refused["argv"] == ["reboot", "now"] and refused["principal"]["host"] == "sut" and "no rule" in refused["why"]
    )
    assert (ran["result"], ran["target"], ran["principal"]["uid"]) == ("allowed", "build", os.geteuid())
    assert (copied["operation"], copied["path"]) == ("get", "/etc/hostname")


def test_an_agent_with_no_run_refuses_commands_of_other_hosts(place: Site) -> None:
    place.agent("--port", f"unix:{place.folder}/line.sock", "--no-run", name="board")
    place.await_host("board")
    for words in (
        ["run", "board", "--", "true"],
        ["run", "board", "--detach", "--", "true"],
        ["proc", "wait", "board/1"],
    ):
        done = place.type("hub", *words)
        assert done.code == 126 and "its agent was started with --no-run" in done.err
    assert place.type("hub", "cp", "board:/etc/hostname", "name").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a command of another user")
def test_an_agent_runs_commands_only_as_allowed_users(place: Site) -> None:
    place.agent("--port", f"unix:{place.folder}/line.sock", "--allow-users", "nobody", name="lab")
    place.await_host("lab")
    refused = place.type("hub", "run", "lab", "--", "id", "-un")
    assert refused.code == 126 and "runs commands only as nobody, not as root" in refused.err
    detached = place.type("hub", "run", "lab", "--detach", "--", "id", "-un")
    assert detached.code == 126 and "runs commands only as nobody, not as root" in detached.err
    place.env["GIVEN"] = "here"
    ran = place.type(
        "hub", "run", "lab", "-u", "nobody", "-e", "GIVEN", "-e", "MISSING", "--", "sh", "-c", "id -un; echo $GIVEN"
    )
    assert (ran.code, ran.text) == (0, "nobody\nhere\n")
    unknown = place.type("hub", "run", "sut", "-u", "nosuchuser", "--", "true")
    assert unknown.code == 126 and "there is no user nosuchuser on sut" in unknown.err
