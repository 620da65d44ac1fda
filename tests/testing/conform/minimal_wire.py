"""The small Python endpoint of tests/docs/protocol on a wire in memory, on virtual time."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

__all__ = ["MinimalWire"]

_TICK = 0.02  # seconds between two ticks of the endpoint
_DELAY = 0.004  # seconds that bytes need in each direction


class MinimalWire:
    """The wire between the tester and the endpoint.

    :param module: the module of the endpoint.
    """

    def __init__(self, module: ModuleType, *, shared: bool = True) -> None:
        self.shared = shared
        self.crashed = False
        self._now = 1000.0
        self._to_endpoint: list[tuple[float, bytes]] = []
        self._to_tester: list[tuple[float, bytes]] = []
        self._tick_at = self._now
        keepalive = module.KEEPALIVE_CALLER if shared else module.KEEPALIVE_PIPE
        rng = random.Random(7)
        self.endpoint: Any = module.Endpoint(self._write, "mcu", keepalive, clock=self.now, random=rng.randbytes)

    def now(self) -> float:
        return self._now

    def send(self, data: bytes) -> None:
        self._to_endpoint.append((self._now + _DELAY, data))

    def _write(self, data: bytes) -> None:
        self._to_tester.append((self._now + _DELAY, data))

    def receive(self, seconds: float) -> bytes:
        deadline = self._now + seconds
        while True:
            times = [self._tick_at, *(pending[0][0] for pending in (self._to_endpoint, self._to_tester) if pending)]
            at = min(times)
            if at > deadline:
                self._now = deadline
                return b""
            self._now = max(at, self._now)
            if self._to_tester and self._to_tester[0][0] <= self._now:
                return self._to_tester.pop(0)[1]
            try:
                if self._to_endpoint and self._to_endpoint[0][0] <= self._now:
                    data = self._to_endpoint.pop(0)[1]
                    if not self.crashed:
                        self.endpoint.receive(data)
                else:
                    self._tick_at = self._now + _TICK
                    if not self.crashed:
                        self.endpoint.tick()
            except Exception:
                self.crashed = True  # as if the program of the endpoint had ended
