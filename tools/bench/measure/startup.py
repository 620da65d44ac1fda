"""Start-up: the time of a small command compared with a bare Python interpreter, and the agent's memory and import time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from ..page.report import Report, progress
from ..testbed.process_time import timed
from ..testbed.system import LineSystem, linesync_command, resident

__all__ = ["startup"]

_RATIO_TARGET = 4.0  # the time of `linesync sem x 0`, divided by the time of `python3 -c pass`
_RESIDENT_TARGET = 22.0  # MiB of an agent whose session is up
_IMPORT_TARGET = 110.0  # milliseconds for the imports of an agent
_AGENT = (
    "import linesync.cli.main, linesync.cli.processes.agent, linesync.agent.agent, linesync.transports.serial.connect"
)
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
_COUNTED = "import sys; n = len(sys.modules); {}; print(len(sys.modules) - n)"


def startup(report: Report, *, runs: int) -> None:
    """Measure start-up times, and add the tables to the report.

    Commands and interpreters run alternately, so that other load on the machine affects both.

    :param runs: the number of runs of each command.
    """
    progress("start-up")
    with LineSystem() as system:
        time.sleep(0.5)
        memory = resident(system.agent_process.pid)
        hub_memory = resident(system.hub_process.pid)
        sem = [*linesync_command(), "--hub", system.hub, "sem", "x", "0"]
        over_line = [*linesync_command(), "--hub", system.agent, "sem", "x", "0"]
        lines = {
            "python3 -c pass": [sys.executable, "-c", "pass"],
            "python3 -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
            "linesync sem x 0 (at the hub)": sem,
            "linesync sem x 0 (over the line)": over_line,
        }
        times = _alternate(lines, runs)
    table = report.table("startup", "Start-up (ms, wall clock)")
    bare = statistics.median(times["python3 -c pass"])
    for name, found in times.items():
        median = statistics.median(found)
        table.add(name, p50=median * 1000, least=min(found) * 1000, times_python=median / bare)
    ratio = statistics.median(times["linesync sem x 0 (at the hub)"]) / bare
    report.target("`linesync sem x 0` over `python3 -c pass`", ratio, "<=", _RATIO_TARGET, "times")
    imports = [float(_python(_TIMED.format(_AGENT))) * 1000 for _ in range(runs)]
    modules = int(_python(_COUNTED.format(_AGENT)))
    nothing = _python(_RESIDENT)
    table = report.table("agent", "The agent")
    table.add(
        "agent",
        resident_MiB=memory,
        imports_ms=statistics.median(imports),
        least_imports_ms=min(imports),
        modules=modules,
    )
    table.add("hub", resident_MiB=hub_memory)
    table.add("python3 that imported asyncio", resident_MiB=float(nothing))
    report.target("agent's resident memory", memory, "<=", _RESIDENT_TARGET, "MiB")
    report.target("agent's imports", statistics.median(imports), "<=", _IMPORT_TARGET, "ms")


_RESIDENT = "import asyncio; print(int(open('/proc/self/status').read().split('VmRSS:')[1].split()[0]) / 1024)"


def _python(text: str) -> str:
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=30).stdout


def _alternate(lines: Mapping[str, Sequence[str]], runs: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in lines}
    for turn in range(runs + 1):
        for name, argv in lines.items():
            took = timed(argv, 30)
            if turn:  # the first run of each command does not count, because it fills the caches
                times[name].append(took)
    return times
