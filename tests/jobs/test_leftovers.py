"""The notes of temporary files, and small files that are replaced."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from linesync.jobs import leftovers


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime directory."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(leftovers, "runtime_folder", lambda: str(folder))
    monkeypatch.setattr(leftovers, "_looked", False)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def end_process_of(note: leftovers.Note) -> None:
    """Release the lock of a note, as the kernel does when the process of the note ends."""
    os.close(note._descriptor)


def test_the_next_start_removes_the_temporary_file_of_a_killed_process(place: Path, runtime: Path) -> None:
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"part")
    (place / "innocent").write_bytes(b"data")
    notes = [leftovers.Note(str(place / one)) for one in (name, "innocent")]
    leftovers.remove_leftovers()
    assert sorted(os.listdir(place)) == sorted([name, "innocent"]), "a file of a running process was removed"
    for note in notes:
        end_process_of(note)
    leftovers.remove_leftovers()
    assert os.listdir(place) == ["innocent"] and os.listdir(runtime) == []


def test_the_next_temporary_file_of_another_process_removes_it_too(
    place: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"part")
    end_process_of(leftovers.Note(str(place / name)))
    monkeypatch.setattr(leftovers, "_looked", False)  # as in a new process
    leftovers.replace_file(str(place / "small"), "text")
    assert os.listdir(place) == ["small"] and os.listdir(runtime) == []


def test_notes_in_a_directory_that_others_can_write_to_are_ignored(place: Path, runtime: Path) -> None:
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"somebody's")
    (runtime / "part-x").write_text(str(place / name))
    runtime.chmod(0o777)
    leftovers.remove_leftovers()
    assert os.listdir(place) == [name]


def test_a_note_that_another_process_takes_for_a_leftover_is_written_again(
    place: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process can find a note between its creation and its lock."""
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"part")
    lock, others = fcntl.flock, [os.listdir]

    def flock(descriptor: int, how: int) -> None:
        if others:
            others.pop()
            leftovers.remove_leftovers()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    note = leftovers.Note(str(place / name))
    (found,) = runtime.iterdir()
    assert found.read_text() == str(place / name)
    note.remove()
    assert os.listdir(runtime) == []


def test_a_small_file_is_replaced_whole_with_its_mode(place: Path, runtime: Path) -> None:
    (place / "other").write_text("other")
    (place / "link").symlink_to("other")
    leftovers.replace_file(str(place / "link"), "new", 0o750)
    assert (place / "link").read_text() == "new" and not (place / "link").is_symlink()
    assert stat.S_IMODE((place / "link").stat().st_mode) == 0o750 and (place / "other").read_text() == "other"
    (place / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        leftovers.replace_file(str(place / "folder"), "new")
    assert sorted(os.listdir(place)) == ["folder", "link", "other"] and os.listdir(runtime) == []
