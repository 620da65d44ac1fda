"""Barriers: the service, one open generation, the history of the names, and the terms of a generation."""
