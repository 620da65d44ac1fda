"""The main use of linesync: the only line of the agent is the console of its kernel (here under QEMU), and the kernel prints
messages at any time.

All tests use one guest, in the order of this file. The last two tests make it boot again. The guest's ttyS0 is a 16550 that
transfers bytes without delay. The speed therefore depends on the pacing of the two senders (115200 baud) and on the emulated
processor.
"""

from __future__ import annotations

import hashlib
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import kit
from tests.e2e.kit import Done, Site
from tests.e2e.lines import guest
from tests.e2e.lines.guest import NAME
from tests.real import wait_for

pytestmark = pytest.mark.real

_BOOT = 120.0  # the most seconds for a boot, which takes 12 s on an idle machine
_GAP = 120_000  # microseconds between two kernel messages, in addition to the time for writing one
_SIZE = 65_536


class Rig:
    """A guest, and a hub on its line."""

    def __init__(self, site: Site, machine: guest.Machine) -> None:
        self.site = site
        self.machine = machine
        self.port = f"{machine.port},115200"
        self.hub = site.hub("--port", self.port, "--lease", "90")

    def type(self, *args: str, stdin: bytes | None = None, seconds: float = 60.0) -> Done:
        return self.site.type("hub", *args, stdin=stdin, seconds=seconds)

    def inside(self, script: str, seconds: float = 60.0) -> str:
        """Run a shell script in the guest. Returns its output."""
        done = self.type("run", NAME, "--", "sh", "-c", script, seconds=seconds)
        assert done.code == 0, (done, self.hub.log)
        return done.text

    def console(self) -> str:
        done = self.type("console", self.machine.port)
        assert done.code == 0, (done.err, self.hub.log)
        return done.out.decode("utf-8", "replace")

    def console_says(self, text: str, seconds: float = _BOOT) -> str:
        """Wait until the console log contains a text. Returns the whole log."""
        wait_for(lambda: text.encode() in self.machine.capture.read_bytes(), f"{text!r} on the line", seconds)
        wait_for(lambda: text in self.console(), f"{text!r} in the console log", 10)
        return self.console()

    def up_count(self) -> int:
        """The number of times that the host has come up."""
        return self.hub.log.count(f"host {NAME} is up")

    def await_up(self, count: int) -> None:
        try:
            wait_for(lambda: self.up_count() >= count, f"registration {count}", _BOOT)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.hub.log}\n{self.machine.capture.read_bytes()[-3000:]!r}") from None


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    guest.require_all()
    with kit.site() as site, tempfile.TemporaryDirectory(prefix="linesync-guest-") as place:
        image = guest.pack(Path(place))
        with guest.boot(image, Path(place), f"noise={_GAP}") as machine:
            yield Rig(site, machine)


def test_the_console_log_has_the_boot_messages_before_a_host_has_registered(rig: Rig) -> None:
    text = rig.console_says("Run /init as init process")
    assert rig.site.json("hub", "hosts") == [] or rig.up_count(), rig.hub.log
    assert re.search(r"^\[    0\.000000\] Linux version \d", text, re.MULTILINE)
    assert text.encode() in rig.machine.capture.read_bytes(), "nothing was added or left out"


def test_the_agent_registers_on_the_line_that_the_kernel_prints_on(rig: Rig) -> None:
    rig.await_up(1)
    (host,) = rig.site.json("hub", "hosts")
    assert (host["name"], host["state"]) == (NAME, "up")
    (link,) = [row for row in rig.site.json("hub", "links") if row["host"] == NAME]
    assert link["state"] == "up", link
    assert " noise " in rig.console()


def test_barriers_and_semaphores_work_between_hub_and_guest(rig: Rig) -> None:
    for side, other in (("hub", "guest"), ("guest", "hub")):
        name = f"{side}-first"
        in_guest = ["run", NAME, "--", "python3", "-m", "linesync", "barrier", name, "2", "--timeout", "60"]
        at_hub = ["barrier", name, "2", "--timeout", "60"]
        first, second = (at_hub, in_guest) if side == "hub" else (in_guest, at_hub)
        waiting = rig.site.start("hub", *first)
        rig.site.await_waiting("barriers", name, 1, 60)
        assert waiting.running, other
        done = rig.type(*second, seconds=90)
        assert (done.code, waiting.wait(60).code) == (0, 0), (done, rig.hub.log)
    taking = rig.site.start("hub", "run", NAME, "--", "python3", "-m", "linesync", "sem", "handed", "-3")
    rig.site.await_waiting("semaphores", "handed", 1, 60)
    assert rig.type("sem", "handed", "+3").code == 0
    assert taking.wait(60).code == 0
    assert rig.type("sem", "handed", "0").text == "0\n"


def test_a_command_in_the_guest_has_its_exit_code_and_separate_streams(rig: Rig) -> None:
    done = rig.type("run", NAME, "--", "sh", "-c", "echo out of $(uname -s) on $LINESYNC_HOST; echo err >&2; exit 7")
    assert (done.code, done.text, done.err) == (7, f"out of Linux on {NAME}\n", "err\n")
    done = rig.type("run", NAME, "-i", "--", "tr", "a-z", "A-Z", stdin=b"typed here\n" * 300)
    assert (done.code, done.out) == (0, b"TYPED HERE\n" * 300)
    assert rig.type("run", NAME, "--", "sh", "-c", "kill -9 $$").code == 137
    assert rig.type("run", NAME, "--", "no-such-program").code == 127


def test_a_file_is_copied_to_the_guest_and_back_while_the_kernel_prints(
    rig: Rig, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    source, copied_back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(random.Random(1).randbytes(_SIZE))
    before = rig.machine.capture.read_bytes().count(b" noise ")
    for name, places in (("in", (str(source), f"{NAME}:/tmp/copy")), ("out", (f"{NAME}:/tmp/copy", str(copied_back)))):
        start = time.monotonic()
        done = rig.type("cp", *places, seconds=120)
        assert done.code == 0, (done, rig.hub.log)
        took = time.monotonic() - start
        record_property(f"goodput_{name}", round(_SIZE / took))
        print(f"\n{_SIZE} bytes {name}: {took:.1f} s, {_SIZE / took:.0f} bytes/s")
    assert rig.machine.capture.read_bytes().count(b" noise ") > before + 10, "the kernel printed during the copies"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert rig.inside("sha256sum /tmp/copy").split()[0] == digest
    assert hashlib.sha256(copied_back.read_bytes()).hexdigest() == digest


def test_the_console_log_has_every_kernel_message_complete_once_and_in_order(rig: Rig) -> None:
    rig.inside("touch /tmp/quiet; while [ ! -e /tmp/noise.count ]; do sleep 0.1; done")
    count = int(rig.inside("cat /tmp/noise.count"))
    assert count > 50
    # The guest's kernel log has the messages that it printed on the console, and also debug messages (level 7).
    printed = [
        line.partition(">")[2]
        for line in rig.inside("dmesg -r").splitlines()
        if int(line[1:].partition(">")[0]) & 7 < 7
    ]
    time.sleep(2.5)  # the longest time for which the hub keeps a damaged piece back
    log = rig.console().replace("\r\n", "\n")
    noise = [line for line in printed if " noise " in line]
    assert len(noise) == count, "the kernel's own log must have all of them"
    wrong = [line for line in printed if log.count(line) != printed.count(line)]
    report = "\n".join(f"{log.count(line)} times: {line!r}\n{_on_the_line(rig, line)}" for line in wrong[:4])
    assert not wrong, f"{len(wrong)} of {len(printed)} messages are not in the console log once:\n{report}"
    places = [log.index(line) for line in noise]
    assert places == sorted(places), "in the order in which they were printed"
    # If a message was printed into a nested frame, or beside another message that quotes a frame, the log may have characters
    # of the frame beside the message. The number of such lines is printed, and it is limited.
    counted = Counter(log.splitlines())
    touched = [line for line in printed if counted[line] != printed.count(line)]
    print(f"\n{len(printed)} kernel messages, {count} of them ours, {len(touched)} with frame characters beside them")
    assert len(touched) <= len(printed) // 20, touched[:10]


def _on_the_line(rig: Rig, line: str) -> str:
    """The bytes around a kernel message on the line, and the same part of the console log."""
    raw = rig.machine.capture.read_bytes()
    stamp = line.partition("]")[0].encode()
    position = raw.find(stamp)
    text = rig.console()
    shown = text.find(stamp.decode())
    context = text[max(0, shown - 200) : shown + 400] if shown >= 0 else "nothing"
    return f"  on the line: {raw[max(0, position - 400) : position + 700]!r}\n  in the log: {context!r}"


def test_a_reset_of_the_guest_is_reported_as_a_restart_and_the_guest_registers_again(rig: Rig) -> None:
    waiting = rig.site.start("hub", "run", NAME, "--", "sleep", "600")
    arrived = rig.site.start("hub", "run", NAME, "--", "python3", "-m", "linesync", "barrier", "cut", "2")
    rig.site.await_waiting("barriers", "cut", 1, 60)
    count = rig.up_count()
    done = rig.type("run", NAME, "--", "sh", "-c", "echo b > /proc/sysrq-trigger", seconds=_BOOT)
    assert done.code == 125 and "restarted" in done.err, (done, rig.hub.log)
    for command in (waiting, arrived):
        done = command.wait(30)
        assert done.code == 125 and "restarted" in done.err, (done, rig.hub.log)
    rig.await_up(count + 1)
    assert f"host {NAME} is lost: restarted" in rig.hub.log
    assert rig.site.waiting("barriers", "cut") == 0
    assert rig.inside("echo again") == "again\n"
    text = rig.console_says("sysrq: Resetting")
    assert text.count("Linux version") == 2, "the second boot follows the first one in the log"


def test_the_console_log_has_a_panic_and_the_guest_registers_at_a_new_hub(rig: Rig) -> None:
    rig.hub.stop()
    rig.hub = rig.site.hub("--port", rig.port, "--lease", "6")
    rig.await_up(1)
    done = rig.type("run", NAME, "--", "sh", "-c", "echo c > /proc/sysrq-trigger", seconds=_BOOT)
    assert done.code == 125 and f"host {NAME} is lost" in done.err, (done, rig.hub.log)
    rig.hub.says(f"host {NAME} is lost", 20)
    text = rig.console_says("Rebooting in 3 seconds..")
    for part in ("sysrq: Trigger a crash", "Kernel panic - not syncing: sysrq triggered crash", "Call Trace:"):
        assert re.search(rf"^\[ *\d+\.\d+\] {re.escape(part)}\r?$", text, re.MULTILINE), text[-4000:]
    rig.await_up(2)
    assert rig.inside("echo alive") == "alive\n"
