"""Channels: many flow-controlled streams and conversations in one session."""
