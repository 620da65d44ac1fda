"""``linesync cp`` with trees, other users, stdin and stdout, and between hosts."""

from __future__ import annotations

import json
import os
import pwd
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Site, site
from tests.jobs.trees.pairs import snapshot


@pytest.fixture(scope="module")
def pair() -> Iterator[Site]:
    with site() as place:
        place.hub("--listen", f"unix:{place.folder}/lines").says("listening on")
        for name in ("a", "b"):
            place.agent("--port", f"unix:{place.folder}/lines", name=name)
        for name in ("a", "b"):
            place.await_host(name)
        yield place


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "folder" / "empty").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"text\n" * 100)
    (root / "folder" / "large").write_bytes(random.Random(1).randbytes(200_000))
    (root / "link").symlink_to("folder/file")
    os.link(root / "folder" / "file", root / "twin")
    with open(os.fsencode(root) + b"/\xff name", "wb") as file:
        file.truncate(1_000_000)
    os.utime(root / "folder" / "file", ns=(1, 1_000_000_001))
    return root


@pytest.mark.parametrize("way", ["to", "from", "between", "to the hub"])
def test_a_tree_arrives_with_its_attributes_and_a_second_copy_sends_nothing(
    pair: Site, tree: Path, tmp_path: Path, way: str
) -> None:
    target = tmp_path / "target"
    hosts = {"to": ("", "a:"), "from": ("a:", ""), "between": ("a:", "b:"), "to the hub": ("b:", "hub:")}
    source_host, target_host = hosts[way]
    words = ("cp", "-rp", f"{source_host}{tree}/.", f"{target_host}{target}")
    done = pair.type("hub", "--json", *words)
    assert done.code == 0, done
    assert snapshot(target) == snapshot(tree)
    assert os.stat(os.fsencode(target) + b"/\xff name").st_blocks == 0
    again = json.loads(pair.type("hub", "--json", *words).out)
    assert (again["files"], again["bytes"]) == (0, 0)


def test_sources_of_several_hosts_go_to_one_folder_and_failures_do_not_stop_the_others(
    pair: Site, tree: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    words = [str(tree / "twin"), f"a:{tree}/folder", f"b:{tree}/missing", f"b:{tree}/folder/large"]
    done = pair.type("hub", "cp", *words, f"hub:{target}")
    assert done.code == 125
    assert done.err == (
        f"linesync: cannot read a:{tree}/folder: it is a directory, not a regular file; add -r to copy it\n"
        f"linesync: cannot read b:{tree}/missing: No such file or directory; check the path and its permissions\n"
    )
    assert sorted(os.listdir(target)) == ["large", "twin"]


def test_stdin_and_stdout(pair: Site, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(3_000_000)
    assert pair.type("hub", "cp", "-", f"a:{tmp_path}/there", stdin=data).code == 0
    assert (tmp_path / "there").read_bytes() == data
    done = pair.type("hub", "cp", f"a:{tmp_path}/there", "-")
    assert (done.code, done.out) == (0, data)
    closed = pair.script("hub", f"linesync cp a:{tmp_path}/there - >&-").wait()
    assert closed.code == 125 and "cannot write the output" in closed.err, closed
    done = pair.type("hub", "cp", "-", f"a:{tmp_path}", stdin=b"x")
    assert done.code == 2 and "is a directory" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to act as another user")
def test_a_copy_as_another_user_has_the_rights_of_that_user(pair: Site, tree: Path, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chmod(pair.folder, 0o755)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        os.chmod(folder, os.stat(folder).st_mode | 0o005)
    (tmp_path / "open").mkdir()
    os.chown(tmp_path / "open", nobody.pw_uid, nobody.pw_gid)
    done = pair.type("hub", "cp", "-r", "-u", "nobody", str(tree), f"a:{tmp_path}/open")
    assert done.code == 0, done
    assert (tmp_path / "open" / "tree" / "folder" / "large").stat().st_uid == nobody.pw_uid
    (tmp_path / "big").write_bytes(random.Random(5).randbytes(400_000))
    (tmp_path / "big").chmod(0o644)
    words = ("cp", "-u", "nobody", str(tmp_path / "big"), f"a:{tmp_path}/open/big")
    done = pair.type("hub", "cp", "--bwlimit", "200k", "--timeout", "1", *words[1:])
    assert done.code == 125 and len(list((tmp_path / "open").glob(".big.*"))) == 1, done
    again = json.loads(pair.type("hub", "--json", *words).out)
    assert 0 < again["bytes"] < 400_000 and not list((tmp_path / "open").glob(".big.*"))
    assert (tmp_path / "open" / "big").stat().st_uid == nobody.pw_uid
    assert (tmp_path / "open" / "big").read_bytes() == (tmp_path / "big").read_bytes()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "secret").chmod(0o600)
    for words in ((f"a:{tmp_path}/secret", str(tmp_path / "x")), (str(tree / "twin"), f"a:{tmp_path}/secret")):
        done = pair.type("hub", "cp", "-u", "nobody", *words)
        assert done.code == 125 and "Permission denied" in done.err, done
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "closed").mkdir(0o700)
    done = pair.type("hub", "cp", "-u", "nobody", str(tree / "twin"), f"a:{tmp_path}/closed/x")
    assert done.code == 125 and done.err.startswith(
        f"linesync: cannot write a:{tmp_path}/closed/x: Permission denied"
    ), done
    done = pair.type("hub", "cp", "-u", "nosuchuser", f"a:{tmp_path}/secret", str(tmp_path / "x"))
    assert done.code == 125 and "there is no user nosuchuser" in done.err
