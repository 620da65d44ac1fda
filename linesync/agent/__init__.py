"""The agent: the process on a host, with a line to the hub and a socket for the scripts on that host."""
