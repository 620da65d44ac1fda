"""``linesync phases``."""

from __future__ import annotations

import argparse

from ...errors import LinesyncFailed
from ...model.groups.services import HEALTHY
from ..common import print_json, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.groups.order import Place
    from ...model.groups.services_file import ServicesFile

HELP = "start the services of a group on all its hosts in order"
EXAMPLES = """\
  linesync phases check nfs.toml         check the declarations and print the order
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="check", choices=("check",), help="what to do")
    parser.add_argument("file", metavar="FILE", help="the file with the declarations of the services")


def run(args: argparse.Namespace) -> int:
    return {"check": _check}[args.action](args)


def read_file(path: str) -> ServicesFile:
    """The declarations of the services in a file.

    :raises LinesyncFailed: the file cannot be read.
    :raises UsageError: the declarations are wrong.
    """
    from ...model.groups.services_file import read_services

    try:
        with open(path, encoding="utf-8") as file:
            return read_services(file.read(), path)
    except UnicodeDecodeError:
        raise LinesyncFailed(f"{path} cannot be read: it is not UTF-8; correct the file") from None
    except OSError as error:
        raise LinesyncFailed(f"{path} cannot be read: {error.strerror}; check the path") from None


def _check(args: argparse.Namespace) -> int:
    from ...model.groups.order import places

    file = read_file(args.file)
    ordered = places(file.services)
    if args.json:
        terms = {name: value for name, value in file.as_dict().items() if name not in ("services", "commands")}
        print_json({**terms, "services": [_as_json(place, file) for place in ordered]})
        return 0
    print(f"the group {file.group} with {len(file.services)} services; after a failure: {file.on_failure}")
    if ordered:
        print()
        table(("ID", "SERVICE", "HOSTS", "NEEDS", "STEPS"), [_row(place, file) for place in ordered])
    return 0


def _row(place: Place, file: ServicesFile) -> tuple[object, ...]:
    from ...model.hosts.members import fold

    declared = place.declaration
    hosts = fold(declared.hosts) if declared.hosts else "all"
    if place.gate:
        return place.id, place.name, hosts, "-", "check" if place.gate == HEALTHY else "-"
    needs = ", ".join(f"{name} {state}" for name, state in declared.needs.items())
    steps = " ".join(step for step in file.commands[declared.name] if step != "check")
    return place.id, place.name, hosts, needs or "-", steps or "-"


def _as_json(place: Place, file: ServicesFile) -> dict[str, object]:
    declared = place.declaration
    about: dict[str, object] = {"id": place.id, "name": place.name, "hosts": declared.hosts or None}
    if place.gate == HEALTHY:
        return {
            **about,
            "check": file.commands[declared.name]["check"],
            "timeout": declared.timeout("check"),
            "check_interval": declared.interval,
            "check_timeout": declared.check_timeout,
        }
    if place.gate:
        return about
    commands = {step: argv for step, argv in file.commands[declared.name].items() if step != "check"}
    return {
        **about,
        "needs": declared.needs,
        "version": declared.version,
        "serialize": declared.serialize,
        "keystone": declared.keystone,
        "timeouts": {step: declared.timeout(step) for step in commands},
        "commands": commands,
    }
