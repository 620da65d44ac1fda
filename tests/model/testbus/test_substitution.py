"""Variables and files in the arguments of a command."""

from __future__ import annotations

import pytest

from linesync.errors import UsageError
from linesync.model.testbus.substitution import substitute, tags_in

VARIABLES = {"NAME": "nfs", "dir": "/srv", "percent": "%{NAME}%%", "empty": ""}
PATHS = {"conf": "/run/t/conf", "a b.c": "/run/t/2"}


def one(text: str) -> str:
    return substitute(["prog", text], VARIABLES, PATHS)[1]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("%{NAME}", "nfs"),
        ("%{NAME}:%{dir}/x", "nfs:/srv/x"),
        ("[%{empty}]", "[]"),
        ("-c%{file:conf}", "-c/run/t/conf"),
        ("%{file:a b.c}", "/run/t/2"),
        ("100%%", "100%"),
        ("%%{NAME}", "%{NAME}"),
        ("%%%{NAME}", "%nfs"),
        ("{NAME}", "{NAME}"),
        ("$NAME }", "$NAME }"),
    ],
)
def test_names_tags_and_doubled_percent_signs_are_replaced(text: str, result: str) -> None:
    assert one(text) == result


def test_a_percent_sign_in_a_value_has_no_meaning() -> None:
    assert one("%{percent}") == "%{NAME}%%"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%{name}", "argument 1, there is no variable 'name'"),
        ("%{}", "there is no variable ''"),
        ("%{file:x}", "there is no file with the tag 'x'"),
        ("100%", "a percent sign is alone at character 4"),
        ("%s", "a percent sign is alone at character 1"),
        ("a%{NAME", "an opening brace is not closed at character 2"),
        ("%{NA%{NAME}", "an opening brace is not closed at character 1"),
        ("%{NA{ME}", "an opening brace is not closed"),
    ],
)
def test_an_error_names_the_argument(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        one(text)
    assert refused.value.details["argument"] == 1
    with pytest.raises(UsageError, match="in the program name"):
        substitute([text], VARIABLES, PATHS)


def test_the_tags_of_a_command_are_found_before_the_files_have_a_path() -> None:
    assert list(tags_in(["x", "%{file:a}%%{file:b}%{NAME}", "%{file:c} %{file:a}"])) == ["a", "c", "a"]
    assert list(tags_in(["%{file:a}", "%{file:", "%"])) == ["a"]
