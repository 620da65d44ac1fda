"""testground's sync service, with the interface of its SDKs: states, whose entries are counted, and topics.

An entry into a state adds a message to a topic of linesync. The number of the message is testground's sequence number. A
barrier waits for the message with a certain number. A subscription reads a topic from its first message. Each run has its own
namespace. The arguments, or TEST_RUN, TEST_PLAN and TEST_CASE, determine the name of the namespace::

    with Sync() as sync:
        sequence = sync.signal_and_wait("ready", 3)
        sync.publish("addresses", {"host": "a", "port": 5000})
        for address in islice(sync.subscribe("addresses"), 3):
            ...

A payload is a value that :mod:`.values` can encode: the values of JSON, bytes, tuples and dictionaries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ..client.deadlines import Deadline
from ..errors import LinesyncFailed, UsageError
from .program import connect, namespace
from .values import dumps, loads

__all__ = ["Sync"]

_MOST = 100  # most messages of a topic in one answer


class Sync:
    """A connection to the sync service of one run. Only one thread may use it at a time.

    :param run: the run; by default TEST_RUN.
    :param plan: the plan; by default TEST_PLAN.
    :param case: the case; by default TEST_CASE.
    :param endpoint: the endpoint of a hub or an agent; by default, the endpoint that all linesync commands use.
    :raises LinesyncFailed: no hub or agent answers at that endpoint.

    All methods that wait take a ``timeout`` in seconds (None waits without limit) and raise TimedOut, Aborted (the name was
    reset) and LinesyncFailed (the hub or the line is lost).
    """

    def __init__(self, run: str = "", plan: str = "", case: str = "", endpoint: str = "") -> None:
        names = {"run": run, "plan": plan, "case": case}
        of_run = "".join(f":{key}:{name or os.environ.get('TEST_' + key.upper(), '')}" for key, name in names.items())
        base = namespace("testground")
        self._namespace = f"{base}{of_run}" if base != "default" else of_run[1:]
        self._client = connect("linesync", endpoint)

    # -- states -------------------------------------------------------------------------------------------------------

    def signal_entry(self, state: str, timeout: float | None = None) -> int:
        """Enter a state. Returns the number of entries so far, including this entry."""
        return self._client.send(f"state:{state}", timeout=timeout, namespace=self._namespace)

    def barrier(self, state: str, target: int, timeout: float | None = None) -> None:
        """Wait until a state has ``target`` entries. A target of 0 does not wait."""
        if target < 0:
            raise UsageError(f"invalid target {target} of the state {state}: expected 0 or more")
        if target:
            self._client.receive(f"state:{state}", target, most=1, timeout=timeout, namespace=self._namespace)

    def signal_and_wait(self, state: str, target: int, timeout: float | None = None) -> int:
        """Enter a state and wait until it has ``target`` entries. Returns the number of this entry, from 1."""
        deadline = Deadline(timeout)
        sequence = self.signal_entry(state, deadline.left)
        self.barrier(state, target, deadline.left)
        return sequence

    # -- topics -------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: Any, timeout: float | None = None) -> int:
        """Add a payload to a topic. Returns the number of the payload in the topic, from 1.

        :raises TypeError: the payload cannot be encoded as JSON.
        """
        text = dumps(payload).decode("ascii")
        return self._client.send(f"topic:{topic}", text, timeout=timeout, namespace=self._namespace)

    def subscribe(self, topic: str, timeout: float | None = None) -> Iterator[Any]:
        """All payloads of a topic, beginning with the first. The iterator waits for the next payload and never ends.

        :param timeout: the longest wait for one payload, in seconds. After a TimedOut, the caller must subscribe again. The
            new subscription begins with the first payload.
        """
        number = 1
        while True:
            for message in self._client.receive(
                f"topic:{topic}", number, most=_MOST, timeout=timeout, namespace=self._namespace
            ):
                number = message.number + 1
                try:
                    payload = loads(message.items[0].encode())
                except (IndexError, ValueError):
                    raise LinesyncFailed(
                        f"message {message.number} of the topic {topic}, from {message.sender}, was not published with"
                        " this module; use another topic for other programs"
                    ) from None
                yield payload

    def publish_and_wait(self, topic: str, payload: Any, state: str, target: int, timeout: float | None = None) -> int:
        """Publish a payload, then wait until a state has ``target`` entries. Returns the number of the payload."""
        deadline = Deadline(timeout)
        number = self.publish(topic, payload, deadline.left)
        self.barrier(state, target, deadline.left)
        return number

    def publish_subscribe(self, topic: str, payload: Any, timeout: float | None = None) -> tuple[int, Iterator[Any]]:
        """Publish a payload, then subscribe to its topic. Returns the number of the payload, and the iterator of all
        payloads."""
        return self.publish(topic, payload, timeout), self.subscribe(topic, timeout)

    # -- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
