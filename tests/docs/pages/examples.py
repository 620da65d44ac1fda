"""Runs the examples of a page (README.md, docs/sync.md) exactly as they are written.

A ```console block contains commands after ``$ `` and their expected output. In the output, ``…`` matches any text within a
line, and a line that is only ``…`` matches any number of lines. A ```python block is a file that a console block runs; its
first line contains the name of the file. The same holds for a ```toml block whose first line is the name of a file. A ```sh
block needs hardware, root or another machine, so it is not run. The tests only check that the program can parse its lines that
call linesync. The times, boot ids and byte counters of a page come from a real run, and only their form is compared.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linesync.cli import main as program

__all__ = [
    "LANGUAGES",
    "ROOT",
    "Block",
    "Example",
    "blocks",
    "check_links",
    "check_parse",
    "check_python_is_run",
    "differences",
    "examples",
]

ROOT = Path(__file__).resolve().parents[3]
LANGUAGES = {"console", "python", "sh", "text", "toml", "ini"}
"""The allowed languages of the blocks of a page."""
TIMEOUT = 120.0  # seconds for all examples of a page; they take about 25 s on an idle machine
END_MARK = "\x1e"  # printed after each command, so that the outputs of the commands can be separated
# On a busy machine every command takes longer, so each sleep in an example is extended by a factor of at most 10. The factor is
# the time that the start of Python takes, divided by 0.15 s.
SHELL_FUNCTIONS = f"""\
mark() {{ local code=$?; printf '{END_MARK}'; return $code; }}
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
    """The number of its first line in the page, from 1."""


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page's text."""
    for match in re.finditer(r"^```([\w{}-]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], page.count("\n", 0, match.start()) + 2)


@dataclass(frozen=True)
class Example:
    """One command to run, or one Python file to write."""

    command: str
    expected: str
    line: int


def examples(page: str) -> Iterator[Example]:
    """The examples of a page that these tests run, in order."""
    for block in blocks(page):
        name = block.text.split("\n", 1)[0].removeprefix("# ")
        if block.language == "python" or (block.language == "toml" and name.endswith(".toml") and " " not in name):
            yield Example(f"cat > {shlex.quote(name)} <<'END OF EXAMPLE'\n{block.text}END OF EXAMPLE", "", block.line)
        if block.language == "console":
            yield from _commands(block)


def _commands(block: Block) -> Iterator[Example]:
    command, expected, line_number = "", "", block.line
    for number, line in enumerate(block.text.splitlines(keepends=True), block.line):
        if not line.startswith("$ "):
            expected += line
            continue
        if command:
            yield Example(command, expected, line_number)
        command, expected, line_number = line[2:].rstrip("\n"), "", number
    yield Example(command, expected, line_number)


def normalised(text: str) -> str:
    """Replace everything that differs from run to run with a placeholder."""
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "<clock>", text)
    text = re.sub(r"(\d+\.\d)s ago +[\w-]{8} +[0-9a-f]{8} ", "<age> <boot> <system> ", text)
    text = re.sub(r"\b\d+(\.\d+)?ms\b", "<ms>", text)
    text = re.sub(r"\(\d+s\)", "(<s>)", text)
    text = re.sub(r" script \d+( uid \d+)? ", " script <n> ", text)
    lines = []
    for line in text.splitlines():
        if line.startswith(("./", "unix:")):  # a row of links
            line = re.sub(r"(?<= )(\d+|-|<ms>)(?= |$)", "<n>", re.sub(r"#\d+", "#…", line))
        line = re.sub(r"^@\S{8} +\S+ +(\S+) +\d+ ", r"<namespace> <age> \1 <pid> ", line)
        lines.append(re.sub(r" {2,}", " ", line).rstrip())
    return "\n".join(lines)


def matches(got: str, expected: str) -> bool:
    pattern = "".join(
        r"(.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in normalised(expected).splitlines()
    )
    return re.fullmatch(pattern, normalised(got) + "\n" if got else "") is not None


def run_all(steps: list[Example], directory: Path) -> list[str]:
    """Run the commands in one shell. Returns the output of each command, with stdout and stderr together."""
    script = SHELL_FUNCTIONS + "".join(f"{step.command}\nmark\n" for step in steps)
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
            shell.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            pass  # the missing outputs show which command did not end
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            shell.wait()
        output.seek(0)
        return output.read().decode("utf-8", "replace").split(END_MARK)


def differences(name: str, page: str, directory: Path) -> list[str]:
    """Run the examples of a page. Returns a description of each difference between their output and the page."""
    steps = list(examples(page))
    outputs = run_all(steps, directory)
    found = []
    for step, got in zip(steps, outputs, strict=False):
        if not matches(got, step.expected):
            found.append(f"{name}:{step.line}: $ {step.command}\n--- expected\n{step.expected}--- got\n{got}")
    if len(outputs) <= len(steps):
        found.append(f"{name}:{steps[len(outputs) - 1].line}: did not end: {steps[len(outputs) - 1].command}")
    return found


def check_python_is_run(page: str) -> None:
    commands = [example.command for example in examples(page)]
    for block in blocks(page):
        if block.language == "python":
            name = block.text.split("\n", 1)[0].removeprefix("# ")
            assert f"python {name}" in commands


def check_parse(page: str) -> None:
    """Check that the program can parse the commands that are not run."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    calls = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("linesync ")]
    assert calls
    for words in calls:
        if words != ["--version"]:  # the parser prints the version and exits
            program._parse(words)


def check_links(page: str, place: Path) -> None:
    """Check that every link into this repository leads to an existing file and heading.

    :param place: the directory of the page.
    """
    for target in re.findall(r"\]\(([^)]+)\)", page):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = place / path if path else None
        assert file is None or file.exists(), target
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8") if file is not None else page), target


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#{1,6} (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
