"""Journal and snapshots. Empty until state is durable; the room is kept so that nothing else grows into it."""
