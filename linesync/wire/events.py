"""The events that the wire reports to the layer above: small, frozen and complete."""

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
    """A frame arrived whose check is right."""

    frame: Frame
    length: int
    """Its bytes on the line, newline included."""

    def __init__(self, frame: Frame, length: int) -> None:  # written out for speed: there is one for each frame
        _put(self, "frame", frame)
        _put(self, "length", length)


class Echo(Event):
    """A frame that this end sent came back."""

    length: int
    """Its bytes on the line, newline included."""


class ForeignText(Event):
    """Bytes outside frames arrived: console text."""

    data: bytes


class Damaged(Event):
    """A piece arrived that began like a frame but is not valid."""

    data: bytes


class Noise(Event):
    """The remains of damaged frames, after their good copies arrived or did not arrive; to be shown with escapes."""

    data: bytes


# -- from the link ----------------------------------------------------------------------------------------------------


class SessionUp(Event):
    """A session begins. Nothing remains of an earlier session."""

    peer: Hello
    """The hello of the peer."""


class Restarted(Event):
    """The peer restarted or began a new session: everything that was open in the old session is over."""

    old_boot: str
    """The boot id of the peer in the old session."""
    new_boot: str
    """Its boot id now; the same if it did not restart."""


class ResumeAsked(Event):
    """A hello names a session that this link does not have; another link of the same owner may have it."""

    hello: Hello


class SessionEnded(Event):
    """The session ended: the peer sent a goodbye or violated the protocol."""

    reason: str
    """A sentence."""


class LineQuiet(Event):
    """No valid frame came for too long; the session waits for the line."""

    silent_for: float
    """Seconds."""


class RateWanted(Event):
    """The port must be set to another rate; all bytes that were handed over have left. The link sends nothing until
    :meth:`~linesync.wire.link.Link.rate_changed` reports the result."""

    baud: int
    """Bits a second."""


class RateChanged(Event):
    """The line has another rate now: both ends keep it, or went back to an earlier one."""

    baud: int
    """Bits a second."""


class LineBack(Event):
    """The peer is heard again."""


class OtherStationHeard(Event):
    """Another station speaks the protocol on this line."""

    hello: Hello
    """Its hello."""


class Refused(Event):
    """The two ends are incompatible."""

    reason: str
    """A sentence."""


# -- from the channels ------------------------------------------------------------------------------------------------


class ChannelOpened(Event):
    """The peer opened a channel."""

    channel: int
    lane: Lane
    words: bytes
    """The opening message, which says the purpose of the channel."""


class ChannelData(Event):
    """Bytes arrived on one of the streams of a channel."""

    channel: int
    stream: int
    """0..3"""
    data: bytes

    def __init__(self, channel: int, stream: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "stream", stream)
        _put(self, "data", data)


class ChannelMessage(Event):
    """A whole message arrived."""

    channel: int
    data: bytes

    def __init__(self, channel: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "data", data)


class ChannelEnded(Event):
    """The peer sends no more on this channel."""

    channel: int


class ChannelClosed(Event):
    """The channel is over."""

    channel: int
    reason: str
    """Empty if both sides ended it, otherwise a sentence."""


class ChannelWritable(Event):
    """A channel that was full accepts data again."""

    channel: int
