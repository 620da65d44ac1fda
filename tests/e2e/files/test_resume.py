"""A copy that is broken continues where it stopped, on a line of 115200 baud with bit errors.

With LINESYNC_SOAK=1, the file has 1 MiB, and each copy is broken at 10 %, 50 % and 90 %.
"""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial

import pytest

from linesync.testing.faults import Faults
from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Scenes, SerialSite, serial_site
from tests.effort import SOAK
from tests.real import wait_for

SIZE = 1 << 20 if SOAK else 100_000
PERCENT = (10, 50, 90) if SOAK else (60,)
BREAKS = ("agent", "hub", "client", "cut") if SOAK else ("agent", "hub", "client")
PATIENCE = SIZE / 11520 * 3 + 60
scenes = Scenes()


def _on_line(cable: NullModem, way: str) -> int:
    return cable.counters()[way]["bytes_in"]


def _break(place: SerialSite, how: str, name: str) -> None:
    if how == "agent":
        place.agents[name].kill()
        place.start_agent(name)
    elif how == "hub":
        place.daemons[0].kill()
        place.start_hub()


def _copy(way: str, how: str, percent: int) -> None:
    with serial_site(hosts=("sut",), faults=Faults(ber=1e-5)) as place:
        cable = place.cables["sut"]
        folder = place.folder / "files"
        folder.mkdir()
        source, target = folder / "source", folder / "target"
        data = random.Random(percent).randbytes(SIZE)
        source.write_bytes(data)
        target.write_bytes(b"old")
        args = ("cp", str(source), f"sut:{target}") if way == "ab" else ("cp", f"sut:{source}", str(target))
        before = _on_line(cable, way)
        copy = place.start("hub", *args)
        wait_for(lambda: _on_line(cable, way) - before > SIZE * percent / 100, f"{percent} %", PATIENCE)
        assert target.read_bytes() == b"old" and copy.running
        if how == "cut":
            cable.pull()
            time.sleep(10)
            cable.plug()
            assert copy.wait(PATIENCE).code == 0
        else:
            if how == "client":
                copy.process.send_signal(signal.SIGINT)
                assert copy.wait().code == 130
            _break(place, how, "sut")
            if how != "client":
                done = copy.wait(60)
                assert done.code == 125 and "interrupted" in done.err, done
            place.await_host()
            assert target.read_bytes() == b"old"
            done = place.type("hub", *args, seconds=PATIENCE)
            assert done.code == 0, done
        used = _on_line(cable, way) - before
        print(f"{way} {how} at {percent} %: {used / SIZE:.3f} of the file's bytes on the line")
        assert target.read_bytes() == data
        assert used < 1.1 * SIZE + 20_000, "a new session costs some kilobytes"
        assert sorted(os.listdir(folder)) == ["source", "target"]


for _way in ("ab", "ba"):
    for _how in BREAKS:
        for _percent in PERCENT:
            scenes.names[f"{_way}-{_how}-{_percent}"] = partial(_copy, _way, _how, _percent)


@pytest.mark.parametrize("name", scenes.names)
def test_a_broken_copy_continues_where_it_stopped(name: str) -> None:
    scenes.play(name)
