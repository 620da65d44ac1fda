from __future__ import annotations

import pytest

from linesync.compat.beaker import Scope, main


def test_the_event_of_a_state_names_the_recipe_set_and_the_task() -> None:
    scope = Scope({}, {"RECIPESETID": "77", "TASKORDER": "3"})
    assert scope.event("sut1.lab", "READY") == "beaker:77:3:sut1.lab:READY"
    assert scope.shown("READY") == "3_READY"


def test_options_override_the_environment() -> None:
    scope = Scope({"-r": "1", "--testorder": "2"}, {"RECIPESETID": "77", "TASKORDER": "3"})
    assert scope.event("a", "S") == "beaker:1:2:a:S"


@pytest.mark.parametrize(
    "environ",
    [{"RSTRNT_RECIPESETID": "77", "RSTRNT_TASKORDER": "3"}, {"RECIPESETID": "77", "TESTORDER": "3"}],
)
def test_the_variables_of_restraint_and_rhts_give_the_same_event(environ: dict[str, str]) -> None:
    assert Scope({}, environ).event("a", "S") == "beaker:77:3:a:S"


def test_taskorder_overrides_testorder() -> None:
    assert Scope({}, {"TASKORDER": "4", "TESTORDER": "3"}).order == "4"


def test_no_two_scopes_share_an_event() -> None:
    assert Scope({}, {"RECIPESETID": "1:2"}).event("a", "S") != Scope({}, {"RECIPESETID": "1", "TASKORDER": "2"}).event(
        "a", "S"
    )


@pytest.mark.parametrize(
    "line",
    [
        ["rhts-sync-set"],
        ["rhts-sync-set", "-s", ""],
        ["rstrnt-sync-set", "-s", "READY", "other"],
        ["rhts-sync-block", "sut"],
        ["rhts-sync-block", "-s", "READY"],
        ["rstrnt-sync-block", "-s", "READY", ""],
        ["rstrnt-sync-block", "-s", "READY", "--timeout", "soon", "sut"],
        ["rstrnt-sync-block", "--what", "sut"],
    ],
)
def test_a_wrong_command_line_exits_with_2(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line[0], line[1:]) == 2
    assert capsys.readouterr().err.startswith(f"{line[0]}: ")
