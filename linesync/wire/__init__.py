"""The pure core: bytes to frames, frames to a link, a link to channels. No I/O, no clock, no randomness."""
