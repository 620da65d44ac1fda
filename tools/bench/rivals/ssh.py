"""A real sshd on loopback with its own keys and configuration, for one measurement."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

from ..testbed.system import HOST, BenchError, Processes, System, free_port, linesync_command

__all__ = ["SshSystem", "Sshd", "why_no_ssh"]

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")


def why_no_ssh() -> str:
    """The reason why ssh cannot be measured on this machine; empty if it can be measured."""
    missing = [name for name in ("sshd", "ssh", "scp", "ssh-keygen") if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"{', '.join(missing)} not installed; on Debian: apt-get install openssh-server openssh-client"
    return "" if os.geteuid() == 0 else "only root can start an sshd that root can log in to; run this as root"


class Sshd:
    """A running sshd, and the beginnings of the commands that connect to it.

    :ivar host: the destination, as ``USER@ADDRESS``.
    :ivar ssh: the ssh command up to and including the destination.
    :ivar scp: the scp command up to the files. A remote file begins with :attr:`host`.
    """

    def __init__(self, processes: Processes) -> None:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
        place, port = processes.folder / "ssh", free_port()
        place.mkdir()
        for name in ("host_key", "user_key"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=20)
        (place / "authorized_keys").write_text((place / "user_key.pub").read_text())
        (place / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host_key\n"
            f"AuthorizedKeysFile {place}/authorized_keys\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\nPrintMotd no\nPrintLastLog no\n"
            "UseDNS no\nSubsystem sftp internal-sftp\n"
        )
        program = shutil.which("sshd", path=_PATH)
        assert program is not None
        self._process = processes.start("sshd", [program, "-D", "-e", "-f", str(place / "config")])
        self.host = "root@127.0.0.1"
        words = ["-F", "/dev/null", "-i", str(place / "user_key")]
        options = [word for option in _OPTIONS for word in ("-o", option)]
        self.ssh = ["ssh", *words, "-p", str(port), *options, self.host]
        self.scp = ["scp", "-q", *words, "-P", str(port), *options]
        self._wait(port, lambda: processes.log("sshd"))

    def _wait(self, port: int, log: Callable[[], str]) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise BenchError(f"sshd did not start: {log()}") from None
                time.sleep(0.05)


class SshSystem(System):
    """A hub, and an agent that it starts through ssh."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self.sshd = Sshd(self)
            agent = [*linesync_command(), "agent", "--stdio", "--name", HOST, "--socket", f"{self.folder}/agent.sock"]
            self._start(["--port", "exec:" + shlex.join([*self.sshd.ssh, shlex.join(agent)])])
        except BaseException:
            self.close()
            raise
