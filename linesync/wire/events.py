"""The events that the decoder, the link and the channels report, as small frozen records."""

from __future__ import annotations

from ..frozen_record import Record
from .framing.frames import Frame, Hello, Lane

__all__ = [
    "ChannelClosed",
    "ChannelData",
    "ChannelEnded",
    "ChannelMessage",
    "ChannelOpened",
    "ChannelWritable",
    "Damaged",
    "Echo",
    "Event",
    "ForeignText",
    "FrameFound",
    "LineBack",
    "LineQuiet",
    "Noise",
    "OtherStationHeard",
    "RateChanged",
    "RateWanted",
    "Refused",
    "Restarted",
    "ResumeAsked",
    "SessionEnded",
    "SessionUp",
]


_put = object.__setattr__


class Event(Record):
    """The base class of all events."""


# -- from the decoder -------------------------------------------------------------------------------------------------


class FrameFound(Event):
    """A frame with a correct check arrived."""

    frame: Frame
    length: int
    """Its length on the line in bytes, including the newline."""

    def __init__(
        self, frame: Frame, length: int
    ) -> None:  # faster than that of Record; there is one such event for each frame
        _put(self, "frame", frame)
        _put(self, "length", length)


class Echo(Event):
    """The line returned a frame that this end had sent."""

    length: int
    """Its length on the line in bytes, including the newline."""


class ForeignText(Event):
    """Bytes outside frames arrived: console text."""

    data: bytes


class Damaged(Event):
    """A piece arrived that began like a frame but is not valid."""

    data: bytes


class Noise(Event):
    """The remains of a damaged frame, which contain no text. They are shown with escapes."""

    data: bytes


# -- from the link ----------------------------------------------------------------------------------------------------


class SessionUp(Event):
    """A session begins. An earlier session is over."""

    peer: Hello
    """The hello of the peer."""


class Restarted(Event):
    """The peer restarted or began a new session. All channels of the old session are closed."""

    old_boot: str
    """The boot id of the peer in the old session."""
    new_boot: str
    """The boot id of the peer in the new session; the same if it did not restart."""


class ResumeAsked(Event):
    """A hello names a session that this link does not have. Another link of the same owner may have this session."""

    hello: Hello


class SessionEnded(Event):
    """The session ended: the peer sent a goodbye or violated the protocol."""

    reason: str
    """The reason as a sentence."""


class LineQuiet(Event):
    """No valid frame arrived for too long. The session waits for the line."""

    silent_for: float
    """The time since the last frame of the session, in seconds."""


class RateWanted(Event):
    """A request to set the port to another rate. All bytes of the link have left the line. The link sends nothing until
    :meth:`~linesync.wire.link.Link.rate_changed` reports the result."""

    baud: int
    """The rate in bits a second."""


class RateChanged(Event):
    """The rate of the line has changed: both ends keep a new rate, or have returned to an earlier rate."""

    baud: int
    """The rate in bits a second."""


class LineBack(Event):
    """The peer is heard again after :class:`LineQuiet`."""


class OtherStationHeard(Event):
    """Another station uses the protocol on this line."""

    hello: Hello
    """The hello of the other station."""


class Refused(Event):
    """The two ends are incompatible."""

    reason: str
    """The reason as a sentence."""


# -- from the channels ------------------------------------------------------------------------------------------------


class ChannelOpened(Event):
    """The peer opened a channel."""

    channel: int
    lane: Lane
    words: bytes
    """The opening, which names the purpose of the channel."""


class ChannelData(Event):
    """Bytes arrived on one of the streams of a channel."""

    channel: int
    stream: int
    """The number of the stream, 0 to 3."""
    data: bytes

    def __init__(self, channel: int, stream: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "stream", stream)
        _put(self, "data", data)


class ChannelMessage(Event):
    """A complete message arrived."""

    channel: int
    data: bytes

    def __init__(self, channel: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "data", data)


class ChannelEnded(Event):
    """The peer sends no more on this channel."""

    channel: int


class ChannelClosed(Event):
    """The channel is closed in both directions."""

    channel: int
    reason: str
    """The reason as a sentence; empty if both ends have ended the channel."""


class ChannelWritable(Event):
    """A channel that was full accepts data again."""

    channel: int
