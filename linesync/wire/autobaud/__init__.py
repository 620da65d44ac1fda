"""Autobaud: two ends agree on a faster rate for a serial line."""
