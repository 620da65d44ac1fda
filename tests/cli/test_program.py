"""Help, and the sources of a command's options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesync.cli.main import COMMANDS, build_parser, main
from tests.e2e.kit import LINESYNC, Command, Done, Site

pytestmark = pytest.mark.live


def run_linesync(site: Site, *args: str, env: dict[str, str] | None = None) -> Done:
    """Run the program without --hub."""
    return Command([LINESYNC, *args], site.env | (env or {}), site.folder).wait()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text and f"linesync {command}" in text.partition("examples:")[2]


def test_the_help_of_the_program_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert main([]) == 2


def settings(site: Site, text: str) -> None:
    (site.folder / "linesync.toml").write_text(text)


def test_the_hub_comes_from_the_option_the_variable_or_the_file(site: Site) -> None:
    site.hub().says("scripts on this machine")
    endpoint, wrong = f"unix:{site.socket('hub')}", "unix:/nowhere/else"
    assert run_linesync(site, "sem", "x", "0").code == 125
    settings(site, f'hub = "{endpoint}"\n')
    assert run_linesync(site, "sem", "x", "0").text == "0\n"
    settings(site, f'hub = "{wrong}"\n')
    assert wrong.removeprefix("unix:") in run_linesync(site, "sem", "x", "0").err
    assert run_linesync(site, "sem", "x", "0", env={"LINESYNC_HUB": endpoint}).text == "0\n"
    assert run_linesync(site, "--hub", endpoint, "sem", "x", "0", env={"LINESYNC_HUB": wrong}).text == "0\n"
    assert run_linesync(site, "sem", "x", "0", "--hub", endpoint).text == "0\n"


def test_an_option_has_a_variable_and_a_key_and_the_commands_table_has_priority(site: Site) -> None:
    site.hub().says("scripts on this machine")
    endpoint = f"unix:{site.socket('hub')}"
    settings(site, f'hub = "{endpoint}"\nnamespace = "top"\ntimeout = 0\n[sem]\nnamespace = "table"\n')
    assert run_linesync(site, "sem", "x", "+1").code == 0
    assert run_linesync(site, "sem", "x", "-2").code == 124, "the file's timeout"
    names = [(row["namespace"], row["name"]) for row in site.json("hub", "status")["semaphores"]]
    assert names == [("table", "x")]
    assert run_linesync(site, "sem", "x", "0", env={"LINESYNC_NAMESPACE": "other"}).text == "0\n"
    assert run_linesync(site, "sem", "x", "0").text == "1\n"
    wrong = run_linesync(site, "sem", "x", "0", env={"LINESYNC_TIMEOUT": "soon"})
    assert wrong.code == 2 and "the setting timeout is wrong" in wrong.err


def test_hub_and_agent_also_read_their_options_from_the_file(site: Site) -> None:
    lines = f"unix:{site.folder}/lines"
    settings(
        site,
        f'[hub]\nlisten = ["{lines}"]\nsocket = "{site.socket("hub")}"\nlease = 3\n'
        f'[agent]\nport = "{lines}"\nsocket = "{site.socket("sut")}"\nname = "fromfile"\n'
        'capability = ["kvm", "net"]\npublish = ["arch=arm64"]\n',
    )
    site.daemon("hub", ["hub"]).says("listening on")
    site.daemon("agent", ["agent"]).says("fromfile is registered")
    (row,) = site.json("hub", "hosts")
    assert row["capabilities"] == ["kvm", "net"] and row["published"] == {"arch": "arm64"}


def test_the_error_about_an_invalid_settings_file_names_the_file(site: Site) -> None:
    settings(site, "hub = = nonsense")
    done = run_linesync(site, "sem", "x", "0")
    assert done.code == 2 and "linesync.toml cannot be read" in done.err and done.err.count("\n") == 1


def test_commands_print_tables_for_people_and_json_for_programs(site: Site) -> None:
    site.hub("--listen", f"unix:{site.folder}/lines").says("listening on")
    site.agent("--port", f"unix:{site.folder}/lines").says("is registered")
    for command in ("hosts", "status", "links"):
        table = site.type("hub", command)
        rows = site.type("hub", command, "--json")
        assert table.code == rows.code == 0 and "sut" in table.text
        assert json.loads(rows.out)


def test_every_command_has_its_own_file() -> None:
    folder = Path(__file__).parents[2] / "linesync" / "cli"
    files = {path.stem.replace("_", "-") for path in folder.rglob("*.py")}
    assert files >= COMMANDS.keys()
    assert build_parser().prog == "linesync"


def test_a_hub_that_stores_nothing_loads_neither_tls_nor_sqlite(hub: Site) -> None:
    maps = Path(f"/proc/{hub.daemons[0].pid}/maps").read_text()
    assert "/_ssl" not in maps and "/_sqlite3" not in maps
