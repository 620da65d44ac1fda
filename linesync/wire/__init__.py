"""The pure core of the protocol: frames on a line, a reliable link over frames, and channels over a link.

It has no I/O, no clock and no randomness.
"""
