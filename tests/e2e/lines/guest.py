"""A virtual machine whose only connection is its serial console: a Linux kernel under QEMU, with the agent on the same ttyS0.

The guest consists of Debian's cloud kernel and an initramfs with a static busybox and this machine's Python with linesync.
``python -m tests.e2e.lines.guest`` boots a guest, and prints the port for ``linesync hub --port``.

The kernel comes from LINESYNC_KERNEL, from /boot, or from a cache that :func:`fetch_kernel` fills from Debian's package
without installing it.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real import require, wait_for

__all__ = ["NAME", "Machine", "boot", "fetch_kernel", "kernel", "pack", "require_all"]

NAME = "guest"
"""The host name of the guest, which is also the agent's name."""

_CACHE = Path(tempfile.gettempdir()) / f"linesync-guest-{os.getuid()}"
_PACKAGE = "linux-image-cloud-amd64"
_QEMU = "qemu-system-x86_64"
_KERNEL_LINE = (
    "console=ttyS0,115200 printk.devkmsg=on log_buf_len=1M panic=3 mitigations=off nokaslr tsc=reliable no_timer_check"
    " linesync.port=/dev/ttyS0,115200"
)

_INIT = f"""\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
hostname {NAME}
export PATH=/bin HOME=/root PYTHONPATH=/opt
for word in $(cat /proc/cmdline); do
  case $word in noise=*) noise "${{word#noise=}}" & ;; esac
done
# The agent's log is also printed as kernel text, as by a journal that forwards to the console.
while :; do
  python3 -m linesync agent </dev/null >/dev/null 2>/dev/kmsg
  echo "<3>the agent ended: $?" >/dev/kmsg
  sleep 1
done
"""

_NOISE = """\
#!/bin/sh
# noise GAP: print a numbered kernel message every GAP microseconds until /tmp/quiet exists. Some messages are long, some look
# like frames or parts of frames, some are only a few letters.
i=0
long=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
while [ ! -e /tmp/quiet ]; do
  case $((i % 8)) in
    0) text="e1000 0000:00:03.0 eth0: link is up" ;;
    1) text="x" ;;
    2) text="sha256 $long$long" ;;
    3) text="^DDAAAAAbcdefgh ^" ;;
    4) text="$long" ;;
    5) text="WARNING: at kernel/locking.c:123 __might_sleep+0x55/0x90, see $long and $long and $long" ;;
    6) text="^a ^^ ~. }{ %s \\\\ \\$" ;;
    7) text="usb 1-1: new high-speed USB device number 2 using xhci_hcd" ;;
  esac
  echo "<4>noise $i $text;" >/dev/kmsg
  i=$((i + 1))
  usleep $1
done
echo $i >/tmp/noise.count
"""

_NOT_NEEDED = re.compile(
    r"test|tests|idlelib|tkinter|turtledemo|lib2to3|pydoc_data|distutils|unittest|ensurepip|venv|xml|xmlrpc|wsgiref"
    r"|config-.*|sqlite3|dbm|curses|multiprocessing|__phello__|.*-packages"
    r"|(turtle|pydoc|doctest|mailbox|_pyio|_pydecimal|tarfile|zipfile)\.py"
    r"|(_ssl|_hashlib|_sqlite3|_tkinter|readline|_curses|_dbm|_gdbm|_lzma|_bz2|_test|_xx|_codecs_|audioop|_crypt|nis"
    r"|_uuid|ossaudiodev|_decimal|_zoneinfo|_elementtree|pyexpat|_lsprof).*\.so"
)


def require_all() -> None:
    """Skip or fail the test (see :func:`tests.real.require`) if this machine cannot boot a guest."""
    require(_QEMU, "busybox", "ldd")
    kernel()


# -- the kernel --------------------------------------------------------------------------------------------------------


def kernel() -> Path:
    """The path of a readable kernel. Skips or fails the test (see :func:`tests.real.require`) if there is none."""
    found = _find_kernel()
    if found is None and os.environ.get("LINESYNC_REQUIRE_ALL") == "1":
        return fetch_kernel()
    if found is None:
        pytest.skip(
            "no kernel for QEMU: set LINESYNC_KERNEL, or fetch one with: python -m tests.e2e.lines.guest --fetch"
        )
    return found


def _find_kernel() -> Path | None:
    named = os.environ.get("LINESYNC_KERNEL")
    places = [Path(named)] if named else [*_CACHE.glob("vmlinuz-*"), *Path("/boot").glob("vmlinuz-*")]
    usable = [place for place in sorted(places) if os.access(place, os.R_OK)]
    return usable[-1] if usable else None


def fetch_kernel() -> Path:
    """Extract Debian's cloud kernel from its package into the cache. The package is not installed."""
    require("apt-get", "apt-cache", "dpkg-deb")
    _CACHE.mkdir(mode=0o700, exist_ok=True)
    package = _package()
    if package is None and os.geteuid() == 0:  # a new machine without package lists
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        package = _package()
    assert package is not None, f"apt does not know the package {_PACKAGE}; run apt-get update"
    with tempfile.TemporaryDirectory(prefix="linesync-kernel-") as place:
        subprocess.run(["apt-get", "-qq", "download", package], cwd=place, check=True, stderr=subprocess.DEVNULL)
        (archive,) = Path(place).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive.name, "tree"], cwd=place, check=True)
        (image,) = Path(place, "tree", "boot").glob("vmlinuz-*")
        return Path(shutil.copy(image, _CACHE))


def _package() -> str | None:
    """The name of the package with the newest kernel."""
    depends = subprocess.run(["apt-cache", "depends", _PACKAGE], capture_output=True, text=True).stdout
    found = re.search(r"Depends: (linux-image-\d\S+)", depends)
    return found[1] if found else None


# -- the initramfs -----------------------------------------------------------------------------------------------------


class _Archive:
    """A cpio archive in the ``newc`` format, which the kernel unpacks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def entry(self, name: str, mode: int, data: bytes = b"", mtime: int = 0) -> None:
        name = name.strip("/")
        if name in self._names:
            return
        parent = name.rpartition("/")[0]
        if parent:
            self.entry(parent, stat.S_IFDIR | 0o755)
        self._names.add(name)
        self._entry(name, mode, data, mtime)

    def _entry(self, name: str, mode: int, data: bytes, mtime: int) -> None:
        encoded = name.encode() + b"\0"
        number = len(self._names)
        fields = (number, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (header, data):
            self._parts += [part, bytes(-len(part) % 4)]

    def file(self, source: Path, name: str = "") -> None:
        """Add a file, under its own path or another name."""
        found = source.stat()
        mode = stat.S_IFREG | (0o755 if found.st_mode & 0o111 else 0o644)
        self.entry(name or str(source), mode, source.read_bytes(), int(found.st_mtime))

    def tree(self, source: Path, name: str = "") -> None:
        """Add a directory with all files that Python may need in the guest."""
        for item in sorted(source.iterdir()):
            if _NOT_NEEDED.fullmatch(item.name):
                continue
            target = f"{name or source}/{item.name}"
            if item.is_dir() and item.name != "__pycache__":
                self.tree(item, target)
            elif item.suffix == ".py":
                compiled = Path(importlib.util.cache_from_source(str(item)))
                if (
                    compiled.exists()
                ):  # the compiled file is enough, and without the source the guest unpacks only half as much
                    self.file(compiled, f"{target}c")
                else:
                    self.file(item, target)
            elif item.suffix == ".so":
                self.file(item, target)

    def write(self, path: Path) -> None:
        self._entry("TRAILER!!!", 0, b"", 0)
        path.write_bytes(b"".join(self._parts))


def pack(folder: Path) -> Path:
    """Build the initramfs in a folder."""
    busybox = shutil.which("busybox")
    python = Path(sys.executable).resolve()
    assert busybox is not None
    assert "not a dynamic" in _ldd(Path(busybox)), f"{busybox} is not static; install busybox-static"
    archive = _Archive()
    archive.file(Path(busybox).resolve(), "bin/busybox")
    for name, text in (("init", _INIT), ("bin/noise", _NOISE)):
        archive.entry(name, stat.S_IFREG | 0o755, text.encode())
    archive.file(python)
    archive.entry("bin/python3", stat.S_IFLNK | 0o777, str(python).encode())
    stdlib = Path(sysconfig.get_path("stdlib"))
    archive.tree(stdlib)
    packages = _packages(folder)
    archive.tree(packages, "opt")
    modules = [*stdlib.glob("lib-dynload/*.so"), *packages.rglob("*.so")]
    binaries = [python, *(module for module in modules if not _NOT_NEEDED.fullmatch(module.name))]
    for library in re.findall(r"(/\S+) \(0x", _ldd(*binaries)):
        archive.file(Path(library))
    image = folder / "initramfs"
    archive.write(image)
    return image


def _packages(folder: Path) -> Path:
    """linesync and its dependencies. They are compiled here, because a guest without KVM is slow."""
    import crcmod
    import serial
    import serial_asyncio

    import linesync

    target = folder / "packages"
    for module in (linesync, serial, serial_asyncio, crcmod):
        assert module.__file__ is not None
        source = Path(module.__file__).parent
        shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("__pycache__", "test"))
    for file in target.rglob("*.py"):
        py_compile.compile(str(file), dfile=str(file.relative_to(target)))
    return target


def _ldd(*binaries: Path) -> str:
    done = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True)
    return done.stdout + done.stderr


# -- the machine -------------------------------------------------------------------------------------------------------


class Machine:
    """A running QEMU.

    :ivar port: the tty at the other end of the guest's ttyS0.
    :ivar capture: a file with all bytes that the guest has sent on its ttyS0.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: str, capture: Path) -> None:
        self.process = process
        self.port = port
        self.capture = capture


@contextmanager
def boot(image: Path, folder: Path, *words: str) -> Iterator[Machine]:
    """Boot a guest. It runs until the block ends, even if it reboots.

    :param words: further words of the kernel's command line, such as ``noise=150000``.
    """
    require(_QEMU)
    capture, log_path = folder / "line.capture", folder / "qemu.log"
    argv = [_QEMU, "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "256", "-smp", "1"]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-kernel", str(kernel()), "-initrd", str(image)]
    argv += ["-chardev", f"pty,id=line,logfile={capture}", "-serial", "chardev:line"]
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [*argv, "-append", " ".join([_KERNEL_LINE, *words])], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    holder = -1
    try:
        wait_for(lambda: "/dev/pts/" in log_path.read_text() or process.poll() is not None, "QEMU's pty")
        found = re.search(r"/dev/pts/\d+", log_path.read_text())
        assert found is not None, f"QEMU did not start: {log_path.read_text()}"
        # This process keeps the tty open, because QEMU, unlike a cable, discards bytes while no process has the tty open.
        holder = os.open(found[0], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        yield Machine(process, found[0], capture)
    finally:
        process.kill()
        process.wait()
        if holder >= 0:
            os.close(holder)


def main(argv: list[str]) -> None:
    """Boot a guest until Ctrl-C. With ``--fetch``, only fetch the kernel."""
    if _find_kernel() is None or "--fetch" in argv:
        print(f"kernel: {fetch_kernel()}")
    if "--fetch" in argv:
        return
    with tempfile.TemporaryDirectory(prefix="linesync-guest-") as place:
        with boot(pack(Path(place)), Path(place), *argv) as machine:
            print(f"linesync hub --port {machine.port},115200", flush=True)
            try:
                machine.process.wait()
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    main(sys.argv[1:])
