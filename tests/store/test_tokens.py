"""The file with the highest fencing token."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from linesync.errors import LinesyncFailed
from linesync.store.tokens import BLOCK, CannotSave, reserve


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "tokens")


def test_each_reservation_begins_where_the_last_one_ended(path: str) -> None:
    assert [reserve(path, 5) for _ in range(3)] == [5, 5 + BLOCK, 5 + 2 * BLOCK]
    assert Path(path).read_text() == f"linesync fencing tokens below {5 + 3 * BLOCK} may have been given\n"
    assert os.listdir(os.path.dirname(path)) == ["tokens"] and os.stat(path).st_mode & 0o777 == 0o600


def test_tokens_grow_although_the_clock_was_set_back(path: str) -> None:
    hour = 3600 * 1000
    fast = reserve(path, 1_764_000_000_000 + hour)
    assert reserve(path, 1_764_000_000_000) == fast + BLOCK
    assert reserve(path, 1_764_000_000_000 + 3 * hour) == 1_764_000_000_000 + 3 * hour


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "linesync fencing tokens below  may have been given\n",
        "linesync fencing tokens below -5 may have been given\n",
        f"linesync fencing tokens below {1 << 53} may have been given\n",
        "linesync fencing tokens below 12 may have been given",
        "linesync fencing tokens below 12 may have been given\n" * 2,
        "\xff",
    ],
)
def test_a_file_that_is_not_valid_is_refused_and_kept(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(text, encoding="latin-1")
    with pytest.raises(LinesyncFailed, match=f"{path} does not contain the fencing tokens of a hub; restore it"):
        reserve(path, 1)
    assert Path(path).read_text(encoding="latin-1") == text


def test_a_file_that_cannot_be_read_is_refused(path: str) -> None:
    os.makedirs(path)
    with pytest.raises(
        LinesyncFailed, match="cannot read the fencing tokens in .*: Is a directory; make the file readable"
    ):
        reserve(path, 1)


def test_a_file_that_cannot_be_written_stays_as_it_was(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reserve(path, 7)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CannotSave, match="cannot save the fencing tokens in .*: No space left on device") as caught:
            reserve(path, 1)
    assert caught.value.least == first + BLOCK
    assert os.listdir(os.path.dirname(path)) == ["tokens"] and reserve(path, 1) == first + BLOCK


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LinesyncFailed, match="cannot (save|read) the fencing tokens in .*: Not a directory"):
        reserve(str(tmp_path / "file" / "tokens"), 3)


def test_two_hubs_that_share_a_file_reserve_different_tokens(path: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        firsts = sorted(pool.map(lambda _: reserve(path, 0), range(6)))
    assert firsts == [n * BLOCK for n in range(6)]
