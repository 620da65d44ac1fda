"""Exchanges, as their members use them."""
