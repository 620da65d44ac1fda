"""Clients, outcomes and errors, as parts of stored records."""

from __future__ import annotations

import json
from typing import TypeAlias

from ...errors import LinesyncError, error_for
from ..decisions import (
    Batch,
    Ended,
    Exchanged,
    Level,
    Message,
    Messages,
    Names,
    Objects,
    Posted,
    Released,
    Token,
    Value,
)
from ..participants import Client
from ..state.principal import Principal
from ..state.record import State

__all__ = ["Clients", "KeptError", "KeptValue", "kept_value", "value_of"]


class KeptError(State):
    """An error that an arrival ended with.

    The record contains the code of the error's class, as on the line. The restored error therefore equals the original.
    """

    code: str
    """the code of its class"""
    message: str
    """its sentence"""
    details: str
    """its details as a JSON text, because each error has other details"""

    @classmethod
    def keep(cls, error: LinesyncError) -> KeptError:
        """Make the record of an error."""
        return cls(error.code, error.message, json.dumps(error.details, separators=(",", ":")) if error.details else "")

    def restore(self) -> LinesyncError:
        """Return the error.

        :raises ValueError: the details are not the JSON of an object.
        """
        details = json.loads(self.details) if self.details else {}
        if not isinstance(details, dict):
            raise ValueError("the details of an error are an object")
        return error_for(self.code, self.message, details)


class KeptReleased(State):
    """The fields of :class:`linesync.model.decisions.Released`."""

    generation: int
    """the generation number"""
    parties: tuple[str, ...]
    """the parties in order of arrival, or none if they are too many"""
    position: int
    """the position of the receiver in this order, from 1"""
    count: int
    """the number of parties that arrived"""
    lost: tuple[str, ...] = ()
    """the lost members that the barrier did not wait for"""


class KeptToken(State):
    """A lock was granted."""

    token: int
    """the fencing token"""


class KeptLevel(State):
    """Units were given, taken or counted."""

    value: int
    """the units that were left"""


class KeptExchanged(State):
    """An exchange was complete."""

    generation: int
    """the generation number"""
    members: tuple[str, ...]
    """the members, sorted"""
    keys: tuple[int, ...]
    """for each member, the key of its data"""


class KeptNames(State):
    """Events were set or cleared, or a wait for events has ended."""

    names: tuple[str, ...]
    """for a wait, its events that are set; otherwise empty"""


class KeptPosted(State):
    """A message was sent."""

    posted: int
    """its number"""


class KeptMessage(State):
    """A message in an answer."""

    number: int
    """its number in the answer"""
    sender: str
    """the member that sent it"""
    items: tuple[str, ...]
    """its contents"""


class KeptMessages(State):
    """Messages were read."""

    messages: tuple[KeptMessage, ...]
    """in the order of their numbers"""


class KeptObjects(State):
    """Objects of the test bus were created or deleted."""

    handles: tuple[str, ...]
    """the handles of the created objects"""
    hosts: tuple[str, ...]
    """for a claim, the host of each handle"""


class KeptEnded(State):
    """A process of the test bus has ended."""

    process: str
    """its handle"""
    state: str
    """how it ended"""
    status: int | None
    """its exit status"""
    signal: int | None
    """the number of the signal that ended it"""
    core: bool
    """whether it left a core dump"""
    output: int
    """the number of bytes of its output"""
    why: str
    """the reason why it could not start, or was lost"""


# Each of these classes has a required field that the other classes do not have. The fields of a JSON object therefore identify
# its class. The reader of records does not know this alias, so KeptWait and KeptResult repeat the list.
KeptValue: TypeAlias = (
    KeptReleased
    | KeptToken
    | KeptLevel
    | KeptExchanged
    | KeptNames
    | KeptPosted
    | KeptMessages
    | KeptObjects
    | KeptEnded
)


def kept_value(value: Value) -> KeptValue:
    """Make the record of a result."""
    match value:
        case Released():
            return KeptReleased(value.generation, value.parties, value.position, value.count, value.lost)
        case Token():
            return KeptToken(value.token)
        case Level():
            return KeptLevel(value.value)
        case Exchanged():
            return KeptExchanged(value.generation, value.members, value.keys)
        case Names():
            return KeptNames(value.names)
        case Posted():
            return KeptPosted(value.number)
        case Messages():
            return KeptMessages(
                tuple([KeptMessage(message.number, message.sender, message.items) for message in value.messages])
            )
        case Objects():
            return KeptObjects(value.handles, value.hosts)
        case Ended():
            return KeptEnded(
                value.process, value.state, value.status, value.signal, value.core, value.output, value.why
            )
        case Batch():
            raise AssertionError("a batch of events is not kept")


def value_of(kept: KeptValue) -> Value:
    """Make the result from its record."""
    match kept:
        case KeptReleased():
            return Released(
                generation=kept.generation,
                parties=kept.parties,
                position=kept.position,
                count=kept.count,
                lost=kept.lost,
            )
        case KeptToken():
            return Token(token=kept.token)
        case KeptLevel():
            return Level(value=kept.value)
        case KeptExchanged():
            return Exchanged(generation=kept.generation, members=kept.members, keys=kept.keys)
        case KeptNames():
            return Names(names=kept.names)
        case KeptPosted():
            return Posted(number=kept.posted)
        case KeptMessages():
            return Messages(
                messages=tuple(
                    [Message(number=entry.number, sender=entry.sender, items=entry.items) for entry in kept.messages]
                )
            )
        case KeptObjects():
            return Objects(handles=kept.handles, hosts=kept.hosts)
        case KeptEnded():
            return Ended(**kept.as_dict())


class Clients:
    """The clients that occur in the rows of a store. Equal clients are one object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | int | None, ...], Client] = {}

    def client(self, host: str, number: str, principal: Principal | None = None) -> Client:
        key: tuple[str | int | None, ...] = (host, number)
        if principal is not None:
            key = (*key, principal.line, principal.host, principal.script, principal.uid)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Client(host, number, principal)
        return known
