"""Reliable, ordered delivery on one line: handshake, selective repeat, timers, pacing and sessions."""
