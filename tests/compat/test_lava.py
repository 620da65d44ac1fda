from __future__ import annotations

from pathlib import Path

import pytest

from linesync.client.sync import TopicMessage
from linesync.compat.lava import cache_lines, group_of, main, write_cache
from linesync.errors import UsageError
from linesync.model.state.hosts import HostState


def row(name: str, state: str = "up", **published: str) -> HostState:
    return HostState(
        name=name,
        state=state,
        cause=None,
        why="",
        since=0.0,
        heard=0.0,
        session="",
        boot="",
        line="",
        capabilities=(),
        published=published,
    )


def message(number: int, sender: str, *items: str) -> TopicMessage:
    return TopicMessage(number=number, sender=sender, items=items)


def test_a_group_consists_of_the_hosts_that_publish_its_name() -> None:
    rows = [
        row("a", group="g", role="client", group_size="2"),
        row("b", group="g", role="server", group_size="2"),
        row("c", group="other", role="server"),
        row("d"),
    ]
    group = group_of(rows, "a")
    assert (group.name, group.roles, group.size, group.complete) == ("g", {"a": "client", "b": "server"}, 2, True)


def test_hosts_without_a_group_form_one_group() -> None:
    group = group_of([row("a", role="x"), row("b"), row("c", group="g")], "b")
    assert (group.name, group.roles, group.size) == ("", {"a": "x", "b": ""}, 0)


def test_a_group_is_incomplete_until_the_published_number_of_hosts_is_known() -> None:
    assert not group_of([row("a", group="g"), row("b", group="g", group_size="3")], "a").complete


def test_lost_hosts_are_not_in_a_group_that_is_complete_without_them() -> None:
    rows = [row("old", "lost", group="g"), row("a", group="g", group_size="2"), row("b", group="g")]
    assert list(group_of(rows, "a").roles) == ["a", "b"]


def test_a_lost_host_stays_in_a_group_that_needs_it() -> None:
    rows = [row("a", group="g", group_size="2"), row("b", "lost", group="g")]
    assert list(group_of(rows, "a").roles) == ["a", "b"]


def test_each_group_has_its_own_topics() -> None:
    rows = [row("a", group="g"), row("b", group="h"), row("c")]
    assert len({group_of(rows, host).topic("ready") for host in "abc"}) == 3


def test_a_host_without_an_agent_is_in_no_group() -> None:
    with pytest.raises(UsageError, match="hub does not belong to a group"):
        group_of([row("a")], "hub")


def test_a_group_size_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(UsageError, match="group_size=two"):
        group_of([row("a", group_size="two")], "a")


def test_the_cache_has_the_last_message_of_each_sender() -> None:
    lines = cache_lines(
        [
            message(1, "a", "ip=10.0.0.1", "port=5"),
            message(2, "b", "ip=10.0.0.2", "url=x?y=z"),
            message(3, "a", "ip=10.0.0.9"),
            message(4, "c", "word", "=x"),
        ]
    )
    assert lines == ["a:ip=10.0.0.9", "b:ip=10.0.0.2", "b:url=x?y=z"]


def test_write_cache_creates_the_directory_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.txt"
    write_cache(str(path), ["a:k=v", "b:k=w"])
    assert path.read_text() == "a:k=v\nb:k=w\n"
    write_cache(str(path), ["a:k=x"])
    assert path.read_text() == "a:k=x\n"
    assert list(path.parent.iterdir()) == [path]


def test_write_cache_without_data_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.txt"
    path.write_text("old:k=v\n")
    write_cache(str(path), [])
    write_cache(str(path), [])
    assert not path.exists()


def test_the_error_about_an_unwritable_cache_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="LAVA_MULTI_NODE_CACHE"):
        write_cache(str(tmp_path / "file" / "cache.txt"), ["a:k=v"])


@pytest.mark.parametrize(
    "line",
    [
        ["lava-send"],
        ["lava-send", "key=value"],
        ["lava-wait"],
        ["lava-wait", "id", "more"],
        ["lava-wait-all"],
        ["lava-wait-all", "id", "role", "more"],
        ["lava-sync"],
        ["lava-group", "role", "more"],
        ["lava-self", "more"],
        ["lava-sync", "--timeout", "soon", "id"],
    ],
)
def test_a_wrong_command_line_exits_with_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line[0], line[1:]) == 2
    assert capsys.readouterr().err.startswith(f"{line[0]}: ")


def test_bug_compatibility_does_not_hide_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("lava-wait", ["--lava-bug-compat"]) == 2


@pytest.mark.live
@pytest.mark.parametrize("switch", ["option", "variable"])
def test_a_failure_exits_with_0_only_with_bug_compatibility(
    switch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINESYNC_HUB", f"unix:{tmp_path}/none.sock")
    assert main("lava-wait", ["ready"]) == 125
    if switch == "variable":
        monkeypatch.setenv("LAVA_BUG_COMPAT", "1")
    assert main("lava-wait", [*(["--lava-bug-compat"] if switch == "option" else []), "ready"]) == 0
    assert "none.sock" in capsys.readouterr().err
