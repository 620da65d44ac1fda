"""The kept output of a detached process: the order, the limit, the positions, and readers while it is written."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from linesync.jobs.detached import output
from linesync.jobs.detached.output import OutputReader, OutputWriter, bounds, line_position


def read_all(path: Path, position: int = 0) -> list[output.Piece]:
    reader, found = OutputReader(str(path), position), []
    while pieces := reader.read():
        found += pieces
    reader.close()
    return found


def test_output_of_both_streams_is_read_in_the_order_of_its_writing(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), 1000)
    writer.add(1, b"one ")
    writer.add(2, b"two ")
    writer.add(1, b"three")
    assert read_all(tmp_path) == [(0, 1, b"one "), (4, 2, b"two "), (8, 1, b"three")]
    assert read_all(tmp_path, 5) == [(5, 2, b"wo "), (8, 1, b"three")]
    assert bounds(str(tmp_path)) == (0, 13)


def test_a_process_without_output_has_no_bytes(tmp_path: Path) -> None:
    assert read_all(tmp_path) == []
    assert bounds(str(tmp_path)) == (0, 0)
    assert line_position(str(tmp_path), 5) == 0


def test_the_oldest_output_is_dropped_at_the_limit_and_its_size_is_known(tmp_path: Path) -> None:
    limit = 8000
    writer, written = OutputWriter(str(tmp_path), limit), b""
    for n in range(2000):
        data = b"line %d\n" % n
        writer.add(1 + n % 2, data)
        written += data
        size = sum(os.path.getsize(tmp_path / name) for name in os.listdir(tmp_path))
        assert size <= limit
    begin, end = bounds(str(tmp_path))
    assert (writer.position, end) == (len(written), len(written)) and begin > 0
    assert size > limit * 3 / 4, "most of the limit is used"
    kept = read_all(tmp_path)
    assert kept[0][0] == begin
    assert b"".join(data for _, _, data in kept) == written[begin:]


def test_a_piece_that_is_larger_than_a_segment_is_divided(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), 80)
    writer.add(1, b"x" * 35)
    assert b"".join(data for _, _, data in read_all(tmp_path)) == b"x" * 35


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_gets_each_byte_once_while_the_process_writes(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    writer, written = OutputWriter(str(tmp_path), chance.choice((200, 2000, 100000))), bytearray()
    reader, expected = OutputReader(str(tmp_path)), 0
    for _ in range(300):
        if chance.random() < 0.6:
            data = chance.randbytes(chance.randrange(1, 60))
            writer.add(1, data)
            written += data
        else:
            for position, _stream, data in reader.read():
                assert position >= expected and written[position : position + len(data)] == data
                expected = position + len(data)
                assert reader.position >= expected
    while pieces := reader.read():
        expected = pieces[-1][0] + len(pieces[-1][2])
    assert expected == len(written)
    reader.close()


def test_the_position_of_the_last_lines(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), 10000)
    for data in (b"a\nb", b"b\nc\n", b"d"):
        writer.add(1, data)
    path = str(tmp_path)
    assert [line_position(path, n) for n in range(6)] == [8, 7, 5, 2, 0, 0]
    writer.add(1, b"\n")
    assert [line_position(path, n) for n in (0, 1, 2)] == [9, 7, 5]


def test_a_full_disk_drops_output_and_later_output_has_the_right_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, full = OutputWriter(str(tmp_path), 1000), False
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if full:
            real(descriptor, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    fake: Any = write
    monkeypatch.setattr(output.os, "write", fake)
    writer.add(1, b"before")
    reader = OutputReader(str(tmp_path))
    assert reader.read() == [(0, 1, b"before")]
    full = True
    writer.add(1, b"lost")
    assert reader.read() == []
    full = False
    writer.add(1, b"after")
    assert reader.read() == [(10, 1, b"after")]
    assert bounds(str(tmp_path)) == (10, 15), "the older output was dropped to make room"
    reader.close()
