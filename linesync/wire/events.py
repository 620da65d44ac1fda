"""What the wire tells the layer above. Small, frozen, complete: no event is changed after it was made."""

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
    """Base class of everything the wire reports."""


# -- from the decoder -------------------------------------------------------------------------------------------------


class FrameFound(Event):
    """A frame whose check was right."""

    frame: Frame
    length: int
    """Bytes it took on the line, newline included."""

    def __init__(self, frame: Frame, length: int) -> None:  # by hand: there is one for each frame
        _put(self, "frame", frame)
        _put(self, "length", length)


class Echo(Event):
    """Our own frame came back."""

    length: int


class ForeignText(Event):
    """Bytes that belong to no frame: console text."""

    data: bytes


class Damaged(Event):
    """A piece that began as a frame and is none."""

    data: bytes


class Noise(Event):
    """What was left of damaged pieces once their good copies had come, or had not; to be shown escaped."""

    data: bytes


# -- from the link ----------------------------------------------------------------------------------------------------


class SessionUp(Event):
    """A session stands. Nothing of an earlier one is left."""

    peer: Hello


class Restarted(Event):
    """The peer began a new life or a new session: everything open in the old session is over."""

    old_boot: str
    new_boot: str


class ResumeAsked(Event):
    """A hello names a session that this link does not know; whoever owns the links may know it."""

    hello: Hello


class SessionEnded(Event):
    """The peer said goodbye."""

    reason: str


class LineQuiet(Event):
    """Nothing valid has come for too long; the session waits for the line."""

    silent_for: float
    """Seconds."""


class RateWanted(Event):
    """The line's port is to be set to another rate; everything that was given out has left by the reckoning. The link
    sends nothing until it is told what came of it (:meth:`~linesync.wire.link.Link.rate_changed`)."""

    baud: int
    """Bits a second."""


class RateChanged(Event):
    """The line has another rate now: both ends have kept it, or are back at an earlier one."""

    baud: int
    """Bits a second."""


class LineBack(Event):
    """The line speaks again."""


class OtherStationHeard(Event):
    """Somebody else speaks the protocol on this line."""

    hello: Hello


class Refused(Event):
    """The two ends cannot speak with each other."""

    reason: str
    """A sentence."""


# -- from the channels ------------------------------------------------------------------------------------------------


class ChannelOpened(Event):
    """The peer opened a channel."""

    channel: int
    lane: Lane
    words: bytes
    """The message that says what it is for."""


class ChannelData(Event):
    """Bytes of one of a channel's streams."""

    channel: int
    stream: int
    """0..3"""
    data: bytes

    def __init__(self, channel: int, stream: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "stream", stream)
        _put(self, "data", data)


class ChannelMessage(Event):
    """One whole message."""

    channel: int
    data: bytes

    def __init__(self, channel: int, data: bytes) -> None:
        _put(self, "channel", channel)
        _put(self, "data", data)


class ChannelEnded(Event):
    """The peer will send no more on this channel."""

    channel: int


class ChannelClosed(Event):
    """The channel is over: ``reason`` is empty when both sides ended it, else a sentence."""

    channel: int
    reason: str


class ChannelWritable(Event):
    """A channel that was full has room again."""

    channel: int
