"""Barriers: the service, one open generation, the history of a name, and the terms on which parties arrive."""
