"""``linesync cp --device``: a block device is read, or overwritten in place, at each end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from linesync.testing.nullmodem import NullModem
from tests.e2e.kit import Site, site
from tests.real import loop_device, wait_for

pytestmark = pytest.mark.real
MIB = 1 << 20
BLANK = b"\xaa" * MIB


@pytest.fixture(scope="module")
def pair() -> Iterator[Site]:
    with site() as place:
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        place.agent("--port", f"unix:{place.folder}/lines")
        place.await_host()
        yield place


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[str]]:
    """Two block devices of a MiB each."""
    with ExitStack() as stack:
        found = []
        for name in ("first", "second"):
            (tmp_path / name).write_bytes(BLANK)
            found.append(stack.enter_context(loop_device(tmp_path / name)))
        yield found


def contents(device: str) -> bytes:
    assert stat.S_ISBLK(os.stat(device).st_mode)
    with open(device, "rb") as file:
        return file.read()


@pytest.mark.parametrize("end", ["sut", "hub", "local"])
def test_a_device_is_written_and_read_at_each_end(pair: Site, tmp_path: Path, devices: list[str], end: str) -> None:
    image, copied_back = tmp_path / "image", tmp_path / "back"
    image.write_bytes(os.urandom(700_001))
    remote = "sut:" if end == "local" else ""
    device = devices[0] if end == "local" else f"{end}:{devices[0]}"
    refused = pair.type("hub", "cp", remote + str(image), device)
    assert refused.code == 125 and "it is a block device, not a regular file; add --device" in refused.err
    assert contents(devices[0]) == BLANK
    done = pair.type("hub", "cp", "--device", "--json", remote + str(image), device)
    assert done.code == 0 and '"bytes": 700001' in done.text, done
    assert contents(devices[0]) == image.read_bytes() + BLANK[700_001:]
    assert pair.type("hub", "cp", device, remote + str(copied_back)).code == 125 and not copied_back.exists()
    assert pair.type("hub", "cp", "--device", device, remote + str(copied_back)).code == 0
    assert copied_back.read_bytes() == contents(devices[0])


def test_a_device_is_copied_to_a_device(pair: Site, devices: list[str]) -> None:
    Path(devices[0]).write_bytes(os.urandom(MIB))
    for args in (
        (f"sut:{devices[0]}", f"hub:{devices[1]}"),
        (devices[0], f"sut:{devices[1]}"),
        (f"sut:{devices[0]}", devices[1]),
    ):
        Path(devices[1]).write_bytes(BLANK)
        assert pair.type("hub", "cp", "--device", *args).code == 0
        assert contents(devices[1]) == contents(devices[0]) != BLANK


def test_an_image_that_does_not_fit_changes_nothing(pair: Site, tmp_path: Path, devices: list[str]) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB + 1))
    for args in ((str(image), f"sut:{devices[0]}"), (f"sut:{image}", devices[0])):
        done = pair.type("hub", "cp", "--device", *args)
        assert done.code == 125 and "1,048,577 bytes do not fit, the device has 1,048,576" in done.err, done
        assert contents(devices[0]) == BLANK


def test_an_interrupted_copy_reports_that_the_device_is_incomplete(tmp_path: Path, devices: list[str]) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(60_000))
    with site() as place, NullModem() as cable:
        place.hub("--port", cable.a)
        agent = place.agent("--port", cable.b)
        place.await_host()
        copying = place.start("hub", "cp", "--device", str(image), f"sut:{devices[0]}")
        before = cable.counters()["ab"]["bytes_in"]
        wait_for(lambda: cable.counters()["ab"]["bytes_in"] > before + 15_000, "a part of the image on the cable")
        agent.kill()
        place.agent("--port", cable.b)
        done = copying.wait(40)
    assert done.code == 125 and f"if sut:{devices[0]} is a block device, its contents are now incomplete" in done.err, (
        done
    )
    assert len(contents(devices[0])) == MIB
