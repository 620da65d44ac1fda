"""The state of an ID of messages."""

from __future__ import annotations

from ..record import State, Waiting

__all__ = ["GroupReader", "Reader", "TopicState"]


class Reader(Waiting):
    """A wait for a message."""

    first: int
    """the number of the message waited for, from 1"""
    others: bool
    """whether the reader's own messages do not count"""


class GroupReader(Waiting):
    """A wait for a message from every other host of a group."""

    group: str
    """the group; empty for the hosts without one"""
    role: str
    """the role of the hosts waited for; empty for all roles"""
    missing: tuple[str, ...]
    """the hosts that have not sent, the first 100"""


class TopicState(State):
    """An ID of messages that has messages or waits."""

    namespace: str
    """its namespace"""
    name: str
    """the ID"""
    messages: int
    """the number of messages, 0 to 10,000"""
    senders: tuple[str, ...]
    """the members that have sent, the first 100"""
    waiting: tuple[Reader | GroupReader, ...]
    """the waiting clients: objects with ``name``, ``client`` and ``waiting``; for ``wait``: ``first`` (the number of the message)
    and ``others`` (the messages of the reader do not count); for ``wait-all``: ``group``, ``role`` and ``missing``
    (names)"""
