"""The verdict about each kind of entry and each kind of target."""

from __future__ import annotations

import pytest

from linesync.errors import LinesyncFailed, UsageError
from linesync.model.trees.entries import (
    Attributes,
    Entry,
    Summary,
    digest_of_folder,
    entry_of,
    kept_mode,
    record_of,
)
from linesync.model.trees.names import Places, check_name, name_of_source, places
from linesync.model.trees.verdicts import Found, check, verdict
from linesync.protocol.tree_records import RecordReader

D1, D2 = b"1" * 16, b"2" * 16


def entry(kind: str, size: int = 0, digest: bytes = b"", target: bytes = b"") -> Entry:
    return Entry(0, kind, b"x", 0o644, size, target=target, digest=digest)


TABLE = [
    # the entry, what is there, the digest of what is there, the verdict
    (entry("f", 5), Found(), None, "+"),
    (entry("f", 5), Found(known=True), None, "?"),
    (entry("f", 5, D1), Found(known=True), b"", "+"),
    (entry("f", 5), Found(part=3), None, "@"),
    (entry("f", 5), Found("f", 4), None, "+"),
    (entry("f", 5), Found("f", 4, part=3), None, "@"),
    (entry("f", 5), Found("f", 5), None, "?"),
    (entry("f", 5, D1), Found("f", 5), None, "?"),
    (entry("f", 5, D1), Found("f", 5), D1, "="),
    (entry("f", 5, D1), Found("f", 5), D2, "+"),
    (entry("f", 5, D1), Found("f", 5, part=3), D2, "@"),
    (entry("f", 0), Found(known=True), None, "+"),
    (entry("f", 0), Found("f", 0), None, "?"),
    (entry("f", 5), Found("d"), None, "-"),
    (entry("d"), Found(), None, "+"),
    (entry("d"), Found("d"), None, "?"),
    (entry("d", digest=D1), Found("d"), D1, "="),
    (entry("d", digest=D1), Found("d"), D2, "/"),
    (entry("d", digest=D1), Found("d"), b"", "/"),
    (entry("d"), Found("f", 5), None, "-"),
    (entry("l", target=b"a"), Found(), None, "+"),
    (entry("l", target=b"a"), Found("l", target=b"a"), None, "="),
    (entry("l", target=b"a"), Found("l", target=b"b"), None, "+"),
    (entry("l", target=b"a"), Found("d"), None, "-"),
    (entry("h"), Found(), None, "="),
]


@pytest.mark.parametrize(("sent", "found", "digest", "expected"), TABLE)
def test_the_verdict_about_an_entry(sent: Entry, found: Found, digest: bytes | None, expected: str) -> None:
    assert verdict(sent, found, digest) == expected


def test_unknown_verdicts_are_refused() -> None:
    check("=+?/@-")
    with pytest.raises(LinesyncFailed, match="unknown verdict"):
        check("=x=")


@pytest.mark.parametrize(
    "made",
    [
        entry("f", 1 << 40, D1),
        Entry(3, "h", b"\xff\n", 0o7777, twin=300),
        Entry(200_000, "l", b"a b", 0, target=b"../\xfe"),
        Entry(0, "d", b".", 0o755, attributes=Attributes(-1_500_000_000_123_456_789, 0, 4_294_967_294)),
    ],
)
def test_an_entry_is_unchanged_after_writing_and_reading(made: Entry) -> None:
    ((letter, fields),) = RecordReader("E").feed(record_of(made))
    assert letter == "E" and entry_of(fields) == made


def test_the_digest_of_a_folder_depends_on_everything_that_is_copied() -> None:
    base = Summary(b"a", "f", D1, 0o644, 5, "root:root")
    other = Summary(b"b", "d", D2, 0o755, 6, "")
    digest = digest_of_folder([base, other], attributes=True)
    assert digest == digest_of_folder([other, base], attributes=True) and len(digest) == 16
    changes = ({"name": b"c"}, {"kind": "l"}, {"digest": D2}, {"mode": 0o600}, {"mtime": 6}, {"owner": "x:root"})
    plain = digest_of_folder([base, other], attributes=False)
    for change in changes:
        changed = base.but(**change)
        assert digest_of_folder([changed, other], attributes=True) != digest
        same = digest_of_folder([changed, other], attributes=False) == plain
        assert same == (not change.keys() & {"name", "kind", "digest"})


def test_a_file_that_gets_another_owner_loses_its_set_id_bits() -> None:
    assert kept_mode(0o6755, same_owner=True) == 0o6755 and kept_mode(0o6755, same_owner=False) == 0o755


def test_the_names_of_targets() -> None:
    names = {b"a/b": b"b", b"a/b//": b"b", b"/": b".", b"a/.": b".", b"..": b".", b"\xff": b"\xff"}
    assert {path: name_of_source(path) for path in names} == names

    def where(path: bytes, names: list[bytes], *, is_folder: bool, exists: bool) -> Places:
        return places(path, names, is_folder=is_folder, exists=exists, where="sut:")

    assert where(b"/tmp", [b"a", b"b"], is_folder=True, exists=True) == Places(b"/tmp")
    assert where(b"/tmp/x", [b"a"], is_folder=False, exists=False) == Places(b"/tmp", b"x")
    assert where(b"x/", [b"a"], is_folder=False, exists=False) == Places(b".", b"x")
    assert where(b"/x", [b"."], is_folder=False, exists=True) == Places(b"/", b"x")
    with pytest.raises(LinesyncFailed, match="cannot copy 2 sources to sut:/x: there is no such folder"):
        where(b"/x", [b"a", b"b"], is_folder=False, exists=False)
    with pytest.raises(UsageError, match="two sources have the name a"):
        where(b"/x", [b"a", b"a"], is_folder=True, exists=True)
    check_name(b"\xff\n ")
    for bad in (b"", b".", b"..", b"a/b", b"a\0"):
        with pytest.raises(LinesyncFailed, match="invalid name"):
            check_name(bad)
