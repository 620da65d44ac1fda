"""Services of five hosts on serial lines of 115200 baud, while hosts join and die and the hub is killed."""

from __future__ import annotations

import re
import signal

from linesync.client.blocking import connect_blocking
from linesync.errors import LinesyncError
from linesync.model.state.group import GroupState
from tests.e2e.kit import Command, SerialSite, alive, serial_site

STEP = """\
echo "$$" > $LINESYNC_HOST.pid
until [ -e open ] || [ -e $LINESYNC_HOST.$LINESYNC_SERVICE ]; do sleep 0.05; done"""
FILE = """\
group = "g"
quorum = 3
"""
LISTS = {"c1": ("net", "db"), "c2": ("net", "log"), "c3": ("net",), "c4": ("net", "db"), "c5": ("log", "net")}
IDS = {"net": 1, "db": 2, "log": 3}


def declarations(host: str) -> str:
    """The file of a host. ``process`` waits for a file of the host and the service."""
    services = [f"[service.{name}]\nid = {IDS[name]}\n{steps(name)}" for name in LISTS[host]]
    return FILE + "".join(services)


def steps(name: str) -> str:
    return f"process = '''{STEP}'''\nactivate = 'true'\nabort = 'true'\nstop = 'true'\n"


class Scene:
    """Five hosts. Each host that has begun runs its own declarations."""

    def __init__(self, place: SerialSite) -> None:
        self.place = place
        self.runs: dict[str, Command] = {}

    def begin(self, host: str) -> None:
        (self.place.folder / f"{host}.toml").write_text(declarations(host))
        self.runs[host] = self.place.start(host, "phases", "run", f"{host}.toml")

    def allow(self, *steps: str) -> None:
        """Let ``process`` of a service end on a host: ``c1.net``."""
        for step in steps:
            (self.place.folder / step).touch()

    def state(self) -> GroupState | None:
        try:
            with connect_blocking(f"unix:{self.place.socket('hub')}") as client:
                return client.group_state("g")
        except LinesyncError:
            return None

    def until(self, members: str, state: str, waits_for: str = "") -> None:
        """Wait until the group has these members and its round is in a state, in which these members are behind."""
        seen: list[str] = []

        def there() -> bool:
            found = self.state()
            if found is None:
                return False
            names = {service.id: service.name for member in found.members for service in member.services}
            now = " ".join(filter(None, (found.round.state, names.get(found.round.service or 0))))
            shown = " ".join(sorted(one.name for one in found.members)), now, " ".join(sorted(found.round.waits_for))
            seen[:] = map(str, shown)
            return shown == (members, state, waits_for)

        try:
            self.place.until(there, f"{members}, {state}, waits for {waits_for}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen: {seen}") from None

    def log(self, host: str, code: int) -> list[str]:
        """What a host has logged from its first view with a quorum until its end: ``view c1 c3: c2 left (client gone)``."""
        done = self.runs[host].wait()
        assert done.code == code, done
        lines = []
        for line in done.err.splitlines():
            what = line[len("12:00:00 ") :].removesuffix(", because this member leaves the group")
            if found := re.fullmatch(r"view \S+: members ([^,]+)(, joined [^,]+)?(.*)", what):
                what = f"view {' '.join(sorted(found[1].split()))}{found[3].replace(',', ':', 1)}"
            if what.startswith("the membership was lost"):
                continue  # c4, if it hears of the death of its agent before SIGTERM
            if lines or (what.startswith("view ") and "below the quorum" not in what):
                lines.append(what)
        return lines


def ran(service: str, *kinds: str) -> list[str]:
    """The lines of steps that have ended well."""
    return [f"{service}: {kind} {what}" for kind in kinds for what in ("begins", "done")]


def cut(service: str, cause: str = "") -> list[str]:
    """The lines of a ``process`` that the end of its round has cut."""
    return [f"{service}: process begins", cause, f"{service}: process was ended, because the round is over"]


ALL, WITH_C4 = "view c1 c2 c3", "view c1 c2 c3 c4"
C2_LEFT, WITH_C5 = "view c1 c3 c4: c2 left (client gone)", "view c1 c3 c4 c5"
C4_LEFT = "view c1 c3 c5: c4 left (restarted: the peer restarted)"
STARTED = ("process", "activate")
LOGS = {
    "c1": [
        *(ALL, *ran("net", "process")),
        *(WITH_C4, *ran("db", "abort"), *ran("net", "abort", "process")),
        *(C2_LEFT, *ran("db", "abort"), *ran("net", "abort", *STARTED)),
        *(*cut("db", WITH_C5), *ran("db", "abort"), *ran("net", *STARTED)),
        *(*cut("db", C4_LEFT), *ran("db", "abort"), *ran("net", *STARTED), *ran("db", *STARTED)),
        *("completed", *ran("db", "stop"), *ran("net", "stop"), "stopped"),
    ],
    "c2": [ALL, *ran("net", "process"), WITH_C4, *ran("log", "abort"), *ran("net", "abort", "process")],
    "c3": [
        *(ALL, *cut("net", WITH_C4), *ran("net", "abort"), *cut("net", C2_LEFT), *ran("net", "abort", *STARTED)),
        *(WITH_C5, *ran("net", *STARTED), C4_LEFT, *ran("net", *STARTED), "completed", *ran("net", "stop"), "stopped"),
    ],
    "c4": [
        *(WITH_C4, *ran("net", "process"), C2_LEFT, *ran("db", "abort"), *ran("net", "abort", *STARTED)),
        *(*cut("db", WITH_C5), *ran("db", "abort"), *ran("net", *STARTED)),
        *(
            "db: process begins",
            "db: process was ended, because the round is over",
            *ran("db", "abort"),
            *ran("net", "stop"),
        ),
    ],
    "c5": [
        *(WITH_C5, *ran("net", *STARTED), C4_LEFT, *ran("log", "abort"), *ran("net", *STARTED), *ran("log", *STARTED)),
        *("completed", *ran("log", "stop"), *ran("net", "stop"), "stopped"),
    ],
}
"""What each host must log."""


def test_five_hosts_start_their_services_in_order_through_joins_deaths_and_a_killed_hub() -> None:
    with serial_site("--state", "hub.db", hosts=list(LOGS)) as place:
        scene = Scene(place)
        scene.allow("c1.net", "c2.net", "c4.net", "c5.net")
        for host in ("c1", "c2", "c3"):
            scene.begin(host)
        scene.until("c1 c2 c3", "process net", "c3")  # c1 and c2 stand at the barrier
        scene.begin("c4")  # joins at the barrier
        scene.until("c1 c2 c3 c4", "process net", "c3")
        scene.runs["c2"].process.send_signal(signal.SIGKILL)  # at the barrier
        scene.until("c1 c3 c4", "process net", "c3")
        place.daemons[0].kill()
        scene.allow("c3.net")  # while there is no hub
        place.start_hub("--state", "hub.db")
        for host in ("c1", "c4"):
            place.json(host, "hosts")  # an idle agent would notice the new hub only after seconds
        scene.until("c1 c3 c4", "process db", "c1 c4")
        scene.begin("c5")
        scene.until("c1 c3 c4 c5", "process db", "c1 c4")
        pid = int((place.folder / "c4.pid").read_text())
        place.agents["c4"].kill()  # in process
        place.until(lambda: not alive(pid), "the end of the command on c4")
        scene.runs["c4"].process.send_signal(signal.SIGTERM)  # otherwise it would join again
        logs = {"c4": scene.log("c4", -15)}
        place.start_agent("c4")
        scene.until("c1 c3 c5", "process db", "c1")
        scene.allow("c1.db", "c5.log")
        scene.until("c1 c3 c5", "completed")
        with connect_blocking(f"unix:{place.socket('hub')}") as client:
            client.stop_group("g")
        logs |= {host: scene.log(host, code) for host, code in (("c1", 0), ("c2", -9), ("c3", 0), ("c5", 0))}
        assert logs == LOGS
