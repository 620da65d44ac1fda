"""Detached processes: commands that belong to the host, and not to a client, an agent, the hub or a line."""
