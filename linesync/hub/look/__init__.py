"""The information that the hub shows: console logs, traces of frames, and a stream of changes."""
