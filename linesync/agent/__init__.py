"""The agent: a host's own process, with its line to the hub and a socket for the scripts beside it."""
