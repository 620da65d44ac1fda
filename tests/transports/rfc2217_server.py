"""A small RFC 2217 server over a serial device, after an example of pyserial, for one client."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any

import serial
import serial.rfc2217


class _Port(serial.Serial):
    """A port on a pty, which has no modem lines: pretend that they are set."""

    cts = dsr = cd = True
    ri = False

    def _update_rts_state(self) -> None:
        pass

    def _update_dtr_state(self) -> None:
        pass


class Rfc2217Server:
    """Serves ``device`` on a free loopback port while its ``with`` block runs."""

    def __init__(self, device: str) -> None:
        self._serial: Any = _Port(device, timeout=0.1)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._client: socket.socket | None = None
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Rfc2217Server:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listening.close()
        self.hang_up()
        self._serial.cancel_write()
        for thread in self._threads:
            thread.join(2)
        self._serial.close()

    def hang_up(self) -> None:
        """Disconnect the client."""
        if self._client is not None:
            try:
                self._client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def write(self, data: bytes) -> None:
        """Called by the PortManager to send its answers."""
        assert self._client is not None
        self._client.sendall(data)

    def _serve(self) -> None:
        client, _address = self._listening.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        answers: Any = self
        manager: Any = serial.rfc2217.PortManager(self._serial, answers)
        self._threads.append(threading.Thread(target=self._from_serial, args=(manager,), daemon=True))
        self._threads[-1].start()
        try:
            while not self._over.is_set() and (data := client.recv(4096)):
                self._serial.write(b"".join(manager.filter(data)))
        except (OSError, TypeError):  # the client has disconnected, or the pty is closed
            pass
        self._over.set()
        client.close()

    def _from_serial(self, manager: Any) -> None:
        try:
            while not self._over.is_set():
                if data := self._serial.read(self._serial.in_waiting or 1):
                    self.write(b"".join(manager.escape(data)))
        except (OSError, TypeError):
            pass
