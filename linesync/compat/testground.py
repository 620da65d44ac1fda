"""testground's sync service, as its SDKs shape it: states that are entered and counted, and topics that are replayed.

Entering a state adds a message to a topic of linesync, whose number is the sequence; a barrier waits for the message
of a number. A subscription reads its topic from the first message on. All names live in a namespace of the run, taken
from TEST_RUN, TEST_PLAN and TEST_CASE unless given::

    with Sync() as sync:
        sequence = sync.signal_and_wait("ready", 3)
        sync.publish("addresses", {"host": "a", "port": 5000})
        for address in islice(sync.subscribe("addresses"), 3):
            ...

Payloads are anything that :mod:`.values` can write: JSON's values, bytes, tuples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ..errors import LinesyncFailed, UsageError
from .program import connect, namespace
from .values import dumps, loads

__all__ = ["Sync"]

_MOST = 100  # messages of a topic in one answer


class Sync:
    """A connection to the sync service of one run. Not for several threads at once.

    :param run: which run; TEST_RUN unless given.
    :param endpoint: where a hub or an agent listens; where the commands look unless given.
    :raises LinesyncFailed: nobody listens there.

    All that wait take a ``timeout`` in seconds (None waits for ever) and raise TimedOut, Aborted (somebody reset the
    name) and LinesyncFailed (the hub or the line is gone).
    """

    def __init__(self, run: str = "", plan: str = "", case: str = "", endpoint: str = "") -> None:
        names = {"run": run, "plan": plan, "case": case}
        of_run = "".join(f":{key}:{name or os.environ.get('TEST_' + key.upper(), '')}" for key, name in names.items())
        base = namespace("testground")
        self._namespace = f"{base}{of_run}" if base != "default" else of_run[1:]
        self._client = connect("linesync", endpoint)

    # -- states -------------------------------------------------------------------------------------------------------

    def signal_entry(self, state: str) -> int:
        """Enter a state; how many have, ourselves included."""
        return self._client.send(f"state:{state}", namespace=self._namespace)

    def barrier(self, state: str, target: int, timeout: float | None = None) -> None:
        """Wait until a state was entered ``target`` times. A target of 0 does not wait."""
        if target < 0:
            raise UsageError(f"the state {state} cannot be entered {target} times; give a target of 0 or more")
        if target:
            self._client.receive(f"state:{state}", target, most=1, timeout=timeout, namespace=self._namespace)

    def signal_and_wait(self, state: str, target: int, timeout: float | None = None) -> int:
        """Enter a state and wait until it was entered ``target`` times; our place among those who have."""
        sequence = self.signal_entry(state)
        self.barrier(state, target, timeout)
        return sequence

    # -- topics -------------------------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: Any) -> int:
        """Add a payload to a topic; its number there, from 1.

        :raises TypeError: it cannot be written.
        """
        return self._client.send(f"topic:{topic}", dumps(payload).decode("ascii"), namespace=self._namespace)

    def subscribe(self, topic: str, timeout: float | None = None) -> Iterator[Any]:
        """The payloads of a topic, from the first one ever published; it waits for each next one and has no end.

        :param timeout: how long each may take. After a TimedOut, subscribe again: nothing is lost, all is replayed.
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
                        f"message {message.number} of the topic {topic}, from {message.sender}, was not published by"
                        " this module; use another topic for other programs"
                    ) from None
                yield payload

    def publish_and_wait(self, topic: str, payload: Any, state: str, target: int, timeout: float | None = None) -> int:
        """Publish, then wait until a state was entered ``target`` times; the payload's number."""
        number = self.publish(topic, payload)
        self.barrier(state, target, timeout)
        return number

    def publish_subscribe(self, topic: str, payload: Any, timeout: float | None = None) -> tuple[int, Iterator[Any]]:
        """Publish, then subscribe to the same topic: the payload's number, and all payloads."""
        return self.publish(topic, payload), self.subscribe(topic, timeout)

    # -- life ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
