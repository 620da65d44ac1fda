"""``linesync shell`` and ``run -t`` over a serial line of 115200 baud, on a real screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import linesync
from linesync.client.operations import CommandResult
from tests.e2e.kit import SerialSite, serial_site
from tests.real import require, wait_for

from .screen import screen

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def place() -> Iterator[SerialSite]:
    require("tmux", "vim")
    with serial_site("--state", "hub.db", hosts=("sut",)) as found:
        (found.folder / ".bashrc").write_text("PS1='ready> '\n")
        (found.folder / ".bash_profile").write_text(". ~/.bashrc\n")
        (found.folder / ".vimrc").write_text("set nocompatible laststatus=2 statusline=%l,%c-%{&columns}x%{&lines}\n")
        yield found


def test_vim_in_a_shell_follows_a_resize_and_saves_what_was_typed(place: SerialSite) -> None:
    with screen(place, "shell", "sut") as person:
        person.until("ready>")
        person.type("exec vim notes", "Enter")
        person.until("0,0-80x24")
        person.type("i", "first line", "Enter")
        person.until("2,1-80x24")
        person.resize(100, 40)
        person.until("2,1-100x40")
        person.type("second line", "Escape", ":wq", "Enter")
        person.ended(0)
    assert (place.folder / "notes").read_text() == "first line\nsecond line\n"


def test_control_keys_control_the_jobs_of_the_remote_shell(place: SerialSite) -> None:
    with screen(place, "shell", "sut") as person:
        person.until("ready>")
        person.type("bash -c 'echo runs; sleep 300'", "Enter")
        person.until("\nruns")
        person.type("C-z")
        person.until("Stopped")
        person.type("fg", "Enter")
        person.until("fg\nbash -c")
        person.type("C-c")
        person.until("^C\nready>")
        person.type("exit $?", "Enter")
        person.ended(130)


def test_a_password_is_not_shown(place: SerialSite) -> None:
    script = "stty -echo; printf 'Password: '; read p; stty echo; echo; echo it has ${#p} letters"
    with screen(place, "run", "-t", "sut", "--", "sh", "-c", script) as person:
        person.until("Password:")
        person.type("secret", "Enter")
        person.until("it has 6 letters")
        assert "secret" not in person.text
        person.ended(0)


def test_the_escapes_list_themselves_and_leave_although_the_remote_program_hangs(place: SerialSite) -> None:
    with screen(place, "shell", "sut") as person:
        person.until("ready>")
        person.type("trap '' HUP TERM; echo $$ >pid; exec sleep 300", "Enter")
        wait_for((place.folder / "pid").exists, "the pid of the program")
        pid = int((place.folder / "pid").read_text())
        person.type("Enter", "~?")
        person.until("~.  leave sut; the command there ends")
        person.type("Enter", "~.")
        person.ended(130)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of the remote program")


def test_a_full_screen_program_survives_a_line_that_is_cut_for_5_s_and_a_killed_hub(place: SerialSite) -> None:
    with screen(place, "run", "-t", "sut", "--", "vim", "survivor") as person:
        person.until("0,0-80x24")
        place.cables["sut"].pull()
        person.type("i", "typed without a line", "Escape")
        time.sleep(5)
        place.cables["sut"].plug()
        person.until("typed without a line")
        place.daemons[0].kill()
        person.type("o", "typed without a hub", "Escape")
        place.start_hub("--state", "hub.db")
        person.until("typed without a hub")
        person.resize(90, 30)
        person.until("90x30")
        person.type(":wq", "Enter")
        person.ended(0)
    assert (place.folder / "survivor").read_text() == "typed without a line\ntyped without a hub\n"


def test_the_output_and_exit_status_of_many_commands_are_right(place: SerialSite) -> None:
    """32 commands at the same time, and 128 one after the other, on one line."""

    def argv(number: int) -> list[str]:
        return ["sh", "-c", f"printf '%0{100 + 13 * number}d' {number}; echo error {number} >&2; exit {number % 256}"]

    def check(number: int, result: CommandResult) -> None:
        wanted = f"%0{100 + 13 * number}d" % number
        assert (result.status, result.stdout.decode()) == (number % 256, wanted)
        assert result.stderr == b"error %d\n" % number

    async def work() -> None:
        async with await linesync.connect(f"unix:{place.socket('hub')}") as client:
            for number, result in enumerate(await asyncio.gather(*(client.run("sut", argv(n)) for n in range(32)))):
                check(number, result)
            for number in range(128):
                check(number % 32, await client.run("sut", argv(number % 32)))

    asyncio.run(work())
