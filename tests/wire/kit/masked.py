"""Writes and reads bulk frames in the masked form."""

from __future__ import annotations

from hypothesis import strategies as st

from linesync.wire.events import Event, FrameFound
from linesync.wire.framing import frames
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Lane
from linesync.wire.framing.payload import MaskedForm
from linesync.wire.framing.transparency import GROUPS

__all__ = ["FLAGS", "HARMED", "SEED", "bulk_frame", "decode", "payloads"]

FLAGS = {"flags": "nm"}
"""The flags of an end that accepts the masked form."""
SEED = 77
HARMED = st.sets(st.sampled_from(list(b"".join(GROUPS[:6]) + GROUPS[7])), max_size=70).map(bytes)
"""Sets of bytes that a line with eight bits may damage."""


def bulk_frame(data: bytes, harmed: bytes = b"") -> bytes:
    """Return one complete frame."""
    body = frames.masked_body(Lane.BULK, 3, 4, data, MaskedForm(harmed).encode(data))
    return frames.encode(b"B", body, SEED)


def decode(stream: bytes) -> tuple[list[Event], Decoder]:
    """Return (the events of a stream that ends, the decoder that read it)."""
    decoder = Decoder(longest=4160, eight=True)
    decoder.seeds = (SEED,)
    return [*decoder.receive(stream, 0.0), *decoder.receive_eof()], decoder


def payloads(events: list[Event]) -> list[bytes]:
    """Return the payloads of the data frames among some events."""
    found = [frames.read_data(e.frame.kind, e.frame.body) for e in events if isinstance(e, FrameFound)]
    return [data.payload for data in found if data is not None]
