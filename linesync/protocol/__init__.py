"""Typed requests, replies and channel openings, as text.

Each request and each reply is one message on channel 0::

    <id> <verb> <words ...> [key=value ...]       a request
    <id> ok [<words ...>]                          its reply
    <id> err <code> <sentence> [<details in JSON>]
    - <verb> <words ...>                           a note, which gets no answer

An id is a number that the requester chooses; behind an agent it is ``number.client``, where ``client`` is the agent's
number of the script that sends the request. A channel opens with ``<verb> <words ...>``, without an id.

Each class below is one operation. Fields without a default are positional words in their order; the last one may be a
tuple that takes all remaining words. Fields with a default are options, which are only sent if they differ from the
default. The receiver ignores an option that it does not know, unless the key begins with a capital letter: then it refuses
the operation. It also refuses an unknown verb.
"""

from __future__ import annotations

from . import groups, hosts, jobs, look, sync
from .codec import Message, Reply, decode, encode, encode_error, encode_ok, read_error, read_reply, text_of
from .groups import *  # noqa: F403
from .hosts import *  # noqa: F403
from .jobs import *  # noqa: F403
from .look import *  # noqa: F403
from .sync import *  # noqa: F403

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
__all__ += groups.__all__
__all__ += hosts.__all__
__all__ += jobs.__all__
__all__ += look.__all__
__all__ += sync.__all__
