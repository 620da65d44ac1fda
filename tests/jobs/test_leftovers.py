"""Notes about temporary files, and the replacement of small files."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from linesync.jobs.files import leftovers


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runtime directory, as in a new process."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(leftovers, "runtime_folder", lambda: str(folder))
    monkeypatch.setattr(leftovers, "_searched", False)
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
    notes = [leftovers.Note(str(place / file)) for file in (name, "innocent")]
    leftovers.remove_leftovers()
    assert sorted(os.listdir(place)) == sorted([name, "innocent"]), "a file of a running process was removed"
    for note in notes:
        end_process_of(note)
    leftovers.remove_leftovers()
    assert os.listdir(place) == ["innocent"] and os.listdir(runtime) == []


def test_a_process_removes_the_leftovers_of_others_before_its_own_first_temporary_file(
    place: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"part")
    end_process_of(leftovers.Note(str(place / name)))
    monkeypatch.setattr(leftovers, "_searched", False)  # as in a new process
    leftovers.replace_file(str(place / "small"), "text")
    assert os.listdir(place) == ["small"] and os.listdir(runtime) == []


def test_notes_in_a_directory_that_others_can_write_to_are_ignored(place: Path, runtime: Path) -> None:
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"other user's")
    (runtime / "part-x").write_text(str(place / name))
    runtime.chmod(0o777)
    leftovers.remove_leftovers()
    assert os.listdir(place) == [name]


def test_a_note_that_another_process_removes_before_it_is_locked_is_written_again(
    place: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process can find a note between its creation and its lock, and then removes it."""
    name = leftovers.temporary_name("file")
    (place / name).write_bytes(b"part")
    original_flock, calls = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        calls.append(operation)
        if len(calls) == 1:
            leftovers.remove_leftovers()
        original_flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    note = leftovers.Note(str(place / name))
    (found,) = runtime.iterdir()
    assert found.read_text() == str(place / name)
    note.remove()
    assert os.listdir(runtime) == []


def test_a_small_file_is_replaced_completely_and_gets_its_mode(place: Path, runtime: Path) -> None:
    (place / "other").write_text("other")
    (place / "link").symlink_to("other")
    leftovers.replace_file(str(place / "link"), "new", 0o750)
    assert (place / "link").read_text() == "new" and not (place / "link").is_symlink()
    assert stat.S_IMODE((place / "link").stat().st_mode) == 0o750 and (place / "other").read_text() == "other"
    (place / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        leftovers.replace_file(str(place / "folder"), "new")
    assert sorted(os.listdir(place)) == ["folder", "link", "other"] and os.listdir(runtime) == []
