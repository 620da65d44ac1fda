"""Typed requests, replies and channel openings, as text.

Each request and each reply is one message on channel 0::

    <id> <verb> <words ...> [key=value ...]       a request
    <id> ok [<words ...>]                          its reply
    <id> err <code> <sentence> [<details in JSON>]
    - <verb> <words ...>                           a note, which gets no answer

The sender of a request chooses a number as its id. If an agent relays the request of a script, the id is
``number.client``, and ``client`` is the agent's number of the script. A channel opens with ``<verb> <words ...>``, without
an id.

Each class of this package is one operation. Fields without a default are positional words in their order. The last field may
be a tuple that contains all remaining words. Fields with a default are options, which are sent only if they differ from the
default. The receiver ignores an unknown option, unless its key begins with a capital letter: then it refuses the operation.
It also refuses an unknown verb.
"""

from __future__ import annotations

from . import detached, groups, hosts, jobs, look, sockets, sync
from .codec import Message, Reply, decode, encode, encode_error, encode_ok, read_error, read_reply, text_of
from .detached import *  # noqa: F403
from .groups import *  # noqa: F403
from .hosts import *  # noqa: F403
from .jobs import *  # noqa: F403
from .look import *  # noqa: F403
from .sockets import *  # noqa: F403
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
__all__ += detached.__all__
__all__ += groups.__all__
__all__ += hosts.__all__
__all__ += jobs.__all__
__all__ += look.__all__
__all__ += sockets.__all__
__all__ += sync.__all__
