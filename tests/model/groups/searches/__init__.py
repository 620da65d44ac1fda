"""Searches for lives of groups that break a guarantee, and the reference that judges them."""
