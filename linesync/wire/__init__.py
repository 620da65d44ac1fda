"""The pure core: bytes to frames, frames to a link, a link to channels. It has no I/O, no clock and no randomness."""
