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

from . import sync, work
from .codec import Message, Reply, decode, encode, encode_error, encode_ok, read_error, read_reply, text_of
from .sync import *  # noqa: F403
from .work import *  # noqa: F403

__all__ = [
    "Message",
    "Reply",
    "decode",
    "encode",
    "encode_error",
    "encode_ok",
    "read_error",
    "read_reply",
    "text_of",
]
__all__ += sync.__all__
__all__ += work.__all__
