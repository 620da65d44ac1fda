"""Channels as streams: open, interrupted and joined ones."""
