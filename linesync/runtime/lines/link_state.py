"""The state of a line, as ``links`` shows it."""

from __future__ import annotations

from ...model.state.record import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

__all__ = ["LinkState", "SessionState", "Traffic"]


class Traffic(State):
    """The traffic on a line since it was opened, in bytes unless a field says frames."""

    bytes_in: int
    """all bytes that were received"""
    bytes_out: int
    """all bytes that were sent"""
    damaged: int
    """pieces that began like a frame and were not valid frames"""
    echo: int
    """our own frames that came back"""
    frames_in: int
    """frames that were received"""
    frames_out: int
    """frames that were sent"""
    noise: int
    """remains of damaged frames"""
    stray: int
    """frames that do not belong to a session of this line"""
    text: int
    """other text: kernel messages, prompts"""
    third: int
    """calls from another station"""


class SessionState(State):
    """The session on a line."""

    peer_boot: str
    """the boot id of the process at the other end"""
    frame: int
    """the longest frame that both ends have agreed on, in bytes"""
    frame_now: int
    """the longest frame in use now, in bytes; errors make it shorter"""
    form: str
    """the form of payloads: ``base64``, ``eight`` or ``masked`` ([protocol](../protocol.md))"""
    repaired: int
    """damaged frames that were repaired"""
    round_trip_ms: float | None
    """the smoothed round-trip time in milliseconds, or ``null``"""
    repeated: int
    """frames that were sent again"""
    duplicates: int
    """frames that were received twice"""
    channels: int
    """open channels"""


class LinkState(State):
    """A line of a hub or an agent. In JSON, the fields of ``traffic`` and ``session`` are on the same level as the other
    fields."""

    line: str
    """the line, as the process at this end names it"""
    end: str
    """the owner of this end: ``hub``, or a host"""
    kind: str
    """``serial``, ``tcp``, ``unix``, ``exec`` or ``stdio``; empty if it has not been opened"""
    baud: int | None
    """the current baud rate, or ``null``"""
    state: str
    """``up``, ``quiet`` (nothing was heard for a while), ``waiting`` (open, without a session) or ``down``"""
    trouble: str
    """the problem of the line, in words; empty if no problem is known"""
    traffic: Traffic | None
    """the traffic on the line; None if it has not been opened"""
    session: SessionState | None
    """the session on the line; None without a session"""
    host: str
    """the other end: a host, ``hub``, or empty for a script or without a peer"""

    def as_json(self) -> dict[str, Any]:
        plain = super().as_json()
        plain |= (plain.pop("traffic") or {}) | (plain.pop("session") or {})
        return plain | {"host": plain.pop("host")}

    @classmethod
    def from_json(cls, value: object) -> Self:
        if not isinstance(value, dict):
            raise ValueError(f"a line is an object, not {value!r:.50}")
        traffic = value if "bytes_in" in value else None
        session = value if "peer_boot" in value else None
        return super().from_json(value | {"traffic": traffic, "session": session})
