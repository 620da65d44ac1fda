"""Searches for orders of events, over lossy lines, in which the hub does not do what a reference says."""
