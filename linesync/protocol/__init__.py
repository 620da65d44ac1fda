"""Typed requests, replies and channel openings, as text.

Requests and replies pass on channel 0, one message each::

    <id> <verb> <words ...> [key=value ...]       a request
    <id> ok [<words ...>]                          its reply
    <id> err <code> <sentence> [<details in JSON>]
    - <verb> <words ...>                           a note that nobody answers

An id is the requester's own number; behind an agent it is ``number.client``, where the client is the agent's number for
the script that asks. A channel opens with ``<verb> <words ...>``, without an id.

Each class below is one operation: fields without a default are positional words in their order, the last may be a
tuple that takes all the words left; fields with a default are options and stand only when they differ from it. An
option that the receiver does not know is ignored, unless its key begins with a capital letter: then the operation is
refused. An unknown verb is refused.
"""

from __future__ import annotations

from .codec import Message, Reply, decode, encode, encode_error, encode_ok, read_error, read_reply, text_of
from .sync import (
    BARRIER_REPLY,
    GIVEN_UP,
    Barrier,
    Commit,
    Confirm,
    EventSet,
    EventWait,
    ExchangeOpen,
    ExchangePart,
    GiveBack,
    Lock,
    Receive,
    ReceiveAll,
    Reset,
    Revoked,
    Semaphore,
    Send,
    Unlock,
    Withdraw,
)
from .work import (
    Activity,
    ClientGone,
    Concurrent,
    ConsoleOpen,
    Exited,
    FileEnd,
    FileGot,
    FileHead,
    FileRead,
    FileWrite,
    Hosts,
    Kill,
    Links,
    Note,
    Register,
    Run,
    Started,
    Status,
    TraceOpen,
)

__all__ = [
    "BARRIER_REPLY",
    "GIVEN_UP",
    "Activity",
    "Barrier",
    "ClientGone",
    "Commit",
    "Concurrent",
    "Confirm",
    "ConsoleOpen",
    "EventSet",
    "EventWait",
    "ExchangeOpen",
    "ExchangePart",
    "Exited",
    "FileEnd",
    "FileGot",
    "FileHead",
    "FileRead",
    "FileWrite",
    "GiveBack",
    "Hosts",
    "Kill",
    "Links",
    "Lock",
    "Message",
    "Note",
    "Receive",
    "ReceiveAll",
    "Register",
    "Reply",
    "Reset",
    "Revoked",
    "Run",
    "Semaphore",
    "Send",
    "Started",
    "Status",
    "TraceOpen",
    "Unlock",
    "Withdraw",
    "decode",
    "encode",
    "encode_error",
    "encode_ok",
    "read_error",
    "read_reply",
    "text_of",
]
