"""Agreeing on a faster rate for a serial line."""
