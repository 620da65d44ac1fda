"""beaker's and restraint's rhts-sync-set, rhts-sync-block, rstrnt-sync-set and rstrnt-sync-block.

A state is an event of linesync, which stays set. The name of the event contains the recipe set, the order of the task, the
machine and the state, so that each run and task has its own states. The variables RECIPESETID or RSTRNT_RECIPESETID contain
the recipe set. TASKORDER, RSTRNT_TASKORDER or TESTORDER contain the order. The options -r and -t have precedence over these
variables. A part without a value is empty.

A machine sets a state under the name of its host. If $HOSTNAME differs from that, it also sets the state under $HOSTNAME,
because tests use both names. With -m it sets the state only under the name after -m.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from ..client.deadlines import Deadline
from ..errors import UsageError
from ..numbers import read_seconds
from .names import member_of
from .program import connect, namespace, options, own_host, run

__all__ = ["Scope", "main"]

_SHORT = "hs:m:r:t:R:"
_LONG = ("help", "state=", "machine=", "recipesetid=", "testorder=", "result_server=", "any", "timeout=", "retry=")


class Scope:
    """The states of one task of one recipe set.

    :param given_options: the options of the command line: option to its last value.
    :param environ: the environment variables.
    """

    def __init__(self, given_options: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.recipe_set = _first(given_options, ("-r", "--recipesetid")) or _first(
            environ, ("RECIPESETID", "RSTRNT_RECIPESETID")
        )
        self.order = _first(given_options, ("-t", "--testorder")) or _first(
            environ, ("TASKORDER", "RSTRNT_TASKORDER", "TESTORDER")
        )

    def event(self, machine: str, state: str) -> str:
        """The name of the event for a state of a machine."""
        parts = [member_of(part) if part else "" for part in (self.recipe_set, self.order, machine)]
        return ":".join(["beaker", *parts, state])

    def shown(self, state: str) -> str:
        """A state in the form that restraint's scripts print."""
        return f"{self.order}_{state}"


def _first(words: Mapping[str, str], names: Iterable[str]) -> str:
    return next((words[name] for name in names if words.get(name)), "")


def _set(program: str, given_options: Mapping[str, str], states: Sequence[str], machines: Sequence[str]) -> int:
    if machines:
        raise UsageError(
            f"there is one argument too many, {machines[0]!r}; {program} -s STATE sets the state of this machine"
        )
    state = states[-1]
    scope = Scope(given_options, os.environ)
    with connect(program) as client:
        named = _first(given_options, ("-m", "--machine"))
        names = [named] if named else dict.fromkeys([own_host(client), os.environ.get("HOSTNAME", "")])
        events = [scope.event(name, state) for name in names if name]
        client.set_events(*events, namespace=namespace("beaker"))
    if program.startswith("rstrnt"):
        print(f"{program} -s {state} -- State set = {scope.shown(state)}")
    return 0


def _block(program: str, given_options: Mapping[str, str], states: Sequence[str], machines: Sequence[str]) -> int:
    machines = [machine for machine in machines if machine]
    if not machines:
        raise UsageError(f"there is no machine to wait for; usage: {_usage(program)}")
    limit = given_options.get("--timeout")
    deadline = Deadline(None if limit is None else read_seconds(limit, "timeout"))
    scope = Scope(given_options, os.environ)
    wanted = {machine: {scope.event(machine, state): state for state in states} for machine in machines}
    if "--any" in given_options:
        waits = [{event: state for events in wanted.values() for event, state in events.items()}]
    else:  # the waits may follow one another, because a state stays set
        waits = list(wanted.values())
    print(
        f"{program} -- Blocking state(s) = {' '.join(scope.shown(state) for state in states)}",
        file=sys.stderr,
        flush=True,
    )
    found = []
    with connect(program, timeout=deadline.to_connect) as client:
        for events in waits:
            are_set = client.wait_events(*events, any=True, timeout=deadline.left, namespace=namespace("beaker"))
            found.append(next(state for event, state in events.items() if event in are_set))
    print(":".join(found))
    return 0


def _usage(program: str) -> str:
    if program.endswith("set"):
        return f"{program} -s STATE [-m MACHINE] [-r RECIPESETID] [-t TASKORDER]"
    return f"{program} -s STATE [-s STATE]... [--any] [--timeout S] [-r RECIPESETID] [-t TASKORDER] MACHINE..."


def main(program: str, argv: Sequence[str]) -> int:
    """Run the command with the name ``program``. The options ``--result_server`` and ``--retry`` have no effect.

    :return: the exit code.
    """

    def command(words: list[str]) -> int:
        given_options, machines = options(words, _SHORT, _LONG, _usage(program), mixed=True)
        states = [value for option, value in given_options if option in ("-s", "--state")]
        if any(option in ("-h", "--help") for option, _ in given_options):
            print(f"usage: {_usage(program)}")
            return 0
        if not all(states) or not states:
            raise UsageError(f"the state is missing; usage: {_usage(program)}")
        work = _set if program.endswith("set") else _block
        return work(program, dict(given_options), states, machines)

    return run(program, command, argv)
