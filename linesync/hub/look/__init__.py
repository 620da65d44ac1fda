"""What the hub shows: console logs, frames, and a stream of changes."""
