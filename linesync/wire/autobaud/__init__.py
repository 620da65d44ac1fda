"""Autobaud: the two ends of a serial line agree on a faster rate."""
