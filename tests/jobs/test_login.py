"""Commands of another user, and their environment."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from linesync.errors import CannotExecute, CommandNotFound, NotAllowed
from linesync.jobs.commands.process import Runner

from .test_process import _output, _with_runner

NOBODY = pwd.getpwnam("nobody")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a command of another user")


async def _run(runner: Runner, script: str, **options: object) -> tuple[int, str]:
    process = await runner.start(["sh", "-c", script], **options)  # type: ignore[arg-type]
    try:
        text = (await _output(process)).decode()
        return await process.wait(), text
    finally:
        await process.end_and_wait()
        process.close()


def test_a_command_of_another_user_has_the_groups_and_the_environment_of_that_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEAKED", "root's")

    async def work(runner: Runner) -> None:
        script = 'id -u; id -g; id -G; echo "$HOME $USER $LEAKED $A"; pwd'
        status, text = await _run(runner, script, user="nobody", env={"A": "given"})
        uid, gid, groups, variables, folder = text.splitlines()
        assert status == 0 and (uid, gid) == (str(NOBODY.pw_uid), str(NOBODY.pw_gid))
        assert groups.split() == [str(NOBODY.pw_gid)]
        assert variables == f"{NOBODY.pw_dir} nobody  given"
        assert folder == (NOBODY.pw_dir if os.path.isdir(NOBODY.pw_dir) else "/")

    _with_runner(work)


def test_the_directory_of_another_user_is_entered_with_the_rights_of_that_user(tmp_path: Path) -> None:
    async def work(runner: Runner) -> None:
        secret = tmp_path / "secret"
        secret.mkdir(mode=0o700)
        with pytest.raises(CannotExecute, match="cannot be entered: Permission denied"):
            await _run(runner, "pwd", user="nobody", cwd=str(secret))
        assert await _run(runner, "pwd", user="nobody", cwd="/usr") == (0, "/usr\n")

    _with_runner(work)


def test_a_command_of_another_user_gets_signals_with_their_default_action() -> None:
    async def work(runner: Runner) -> None:
        status, _ = await _run(runner, "kill -TERM $$; sleep 5", user="nobody")
        assert status == -15

    _with_runner(work)


def test_no_process_of_another_user_is_left(tmp_path: Path) -> None:
    async def work(runner: Runner) -> None:
        process = await runner.start(["sh", "-c", "setsid sleep 300 & sleep 300"], user="nobody")
        await process.end_and_wait()
        assert process.gone
        process.close()

    _with_runner(work)


def test_an_unknown_user_and_an_unknown_program_are_errors() -> None:
    async def work(runner: Runner) -> None:
        with pytest.raises(CannotExecute, match="there is no user nosuchuser on here; choose another with -u"):
            await _run(runner, "true", user="nosuchuser")
        with pytest.raises(CommandNotFound):
            await runner.start(["nosuchprogram"], user="nobody")
        with pytest.raises(CannotExecute, match="Permission denied"):
            await runner.start(["/etc/passwd"], user="nobody")

    _with_runner(work)


def test_a_cleared_environment_has_only_the_variables_of_the_user_and_the_given_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEAKED", "yes")

    async def work(runner: Runner) -> None:
        _, text = await _run(runner, "env", env={"A": "b"}, clear=True)
        names = {line.partition("=")[0] for line in text.splitlines()}
        basic = {"HOME", "USER", "LOGNAME", "SHELL", "PATH"}
        assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {*basic, "A", "LINESYNC_HOST", "LINESYNC_RUN"}

    _with_runner(work)


def test_only_allowed_users_may_be_chosen() -> None:
    async def work(runner: Runner) -> None:
        runner.check_user("anybody")
        runner.users, runner.user = frozenset(("tester",)), "root"
        runner.check_user("tester")
        for user in ("", "root", "other"):
            with pytest.raises(NotAllowed, match=f"runs commands only as tester, not as {user or 'root'}"):
                runner.check_user(user)

    _with_runner(work)
