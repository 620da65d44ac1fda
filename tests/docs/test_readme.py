"""The README's examples, run as they stand.

A ```console block is commands after ``$ `` and the output they must give, with ``…`` for anything within a line; a
line that is only ``…`` stands for any number of lines. A ```python block is a file, named in its first line, that a
console block runs. A ```sh block needs hardware, root or another machine: of it, every line that calls linesync is
parsed by the program. Times, boot ids and byte counters are real in the README and compared by their form.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from linesync import errors
from linesync.cli import main as program
from tests.real import require

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS = 120.0  # for everything; it takes some twenty-five on an idle machine
MARK = "\x1e"
# On a machine with other things to do everything takes longer, and so does the README's sleep: by as much as the start
# of a Python takes longer than 0.15 s.
SHELL = f"""\
mark() {{ local code=$?; printf '{MARK}'; return $code; }}
sleep() {{
  local from=${{EPOCHREALTIME/./}}
  python -c 'import asyncio, serial'
  command sleep "$(awk -v s="$1" -v us=$((${{EPOCHREALTIME/./}} - from)) \\
    'BEGIN {{ f = us / 150000; print s * (f < 1 ? 1 : f > 10 ? 10 : f) }}')"
}}
"""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    """Of its first line in the README, from 1."""


def blocks() -> Iterator[Block]:
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], README.count("\n", 0, match.start()) + 2)


@dataclass(frozen=True)
class Example:
    """One command, or one Python file to write."""

    command: str
    expected: str
    line: int


def examples() -> Iterator[Example]:
    for block in blocks():
        if block.language == "python":
            name = block.text.split("\n", 1)[0].removeprefix("# ")
            yield Example(f"cat > {shlex.quote(name)} <<'END OF EXAMPLE'\n{block.text}END OF EXAMPLE", "", block.line)
        if block.language == "console":
            yield from _commands(block)


def _commands(block: Block) -> Iterator[Example]:
    command, expected, at = "", "", block.line
    for number, line in enumerate(block.text.splitlines(keepends=True), block.line):
        if not line.startswith("$ "):
            expected += line
            continue
        if command:
            yield Example(command, expected, at)
        command, expected, at = line[2:].rstrip("\n"), "", number
    yield Example(command, expected, at)


def in_form(text: str) -> str:
    """What may differ from run to run, by its form alone."""
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "<clock>", text)
    text = re.sub(r"(\d+\.\d)s ago +[\w-]{8} ", "<age> <boot> ", text)
    text = re.sub(r"\b\d+(\.\d+)?ms\b", "<ms>", text)
    text = re.sub(r"\(\d+s\)", "(<s>)", text)
    lines = []
    for line in text.splitlines():
        if line.startswith(("./", "unix:")):  # a row of links
            line = re.sub(r"(?<= )(\d+|-|<ms>)(?= |$)", "<n>", re.sub(r"#\d+", "#…", line))
        lines.append(re.sub(r" {2,}", " ", line).rstrip())
    return "\n".join(lines)


def agrees(got: str, expected: str) -> bool:
    pattern = "".join(
        r"(.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in in_form(expected).splitlines()
    )
    return re.fullmatch(pattern, in_form(got) + "\n" if got else "") is not None


def run_all(steps: list[Example], directory: Path) -> list[str]:
    """Run the commands in one shell; the output of each, stdout and stderr together."""
    script = SHELL + "".join(f"{step.command}\nmark\n" for step in steps)
    bin_directory = directory / "bin"
    bin_directory.mkdir()
    for name, arguments in (
        ("linesync", "-c 'import sys; from linesync.cli.main import main; sys.exit(main())'"),
        ("python", ""),
    ):
        wrapper = bin_directory / name
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        wrapper.chmod(0o755)
    checkout = directory / "checkout"
    checkout.mkdir()
    (checkout / "tools").symlink_to(ROOT / "tools")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LINESYNC_")}
    environment |= {
        "PATH": f"{bin_directory}:{environment['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory),
        "LC_ALL": "C.UTF-8",
    }
    with open(directory / "output", "w+b") as output:
        shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", script],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass  # the outputs that are missing tell where it stood
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            shell.wait()
        output.seek(0)
        return output.read().decode("utf-8", "replace").split(MARK)


@pytest.mark.real
def test_the_examples_do_what_the_readme_says(tmp_path: Path) -> None:
    require("bash", "socat")
    steps = list(examples())
    outputs = run_all(steps, tmp_path)
    told = []
    for step, got in zip(steps, outputs, strict=False):
        if not agrees(got, step.expected):
            told.append(f"README.md:{step.line}: $ {step.command}\n--- expected\n{step.expected}--- got\n{got}")
    if len(outputs) <= len(steps):
        told.append(f"README.md:{steps[len(outputs) - 1].line}: did not end: {steps[len(outputs) - 1].command}")
    assert not told, "\n" + "\n".join(told)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert {block.language for block in blocks()} <= {"console", "python", "sh", "text", "toml", "ini"}


def test_every_python_example_is_run() -> None:
    commands = [example.command for example in examples()]
    for block in blocks():
        if block.language == "python":
            name = block.text.split("\n", 1)[0].removeprefix("# ")
            assert f"python {name}" in commands


def test_commands_for_other_machines_parse() -> None:
    lines = [line for block in blocks() if block.language == "sh" for line in block.text.splitlines()]
    calls = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("linesync ")]
    assert calls
    for words in calls:
        program._parse(words)


def test_settings_are_toml() -> None:
    for block in blocks():
        if block.language == "toml":
            assert tomllib.loads(block.text)


def test_every_command_is_named() -> None:
    for command in program.COMMANDS:
        if command not in ("hub", "agent"):  # these two have a section
            assert re.search(rf"^\| .*`(linesync )?{command}\b", README, re.MULTILINE), command


def test_every_exit_code_is_named() -> None:
    table = README.split("## Exit codes")[1].split("\n## ")[0]
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type):
            assert re.search(rf"^\|.*\b{error.exit_code}\b.*\|.*\|", table, re.MULTILINE), name


def test_links_into_this_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
