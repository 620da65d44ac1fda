"""Modules for ends that listen: a limit for connections, scheduling of busy peers, fair queues, and a log with limits."""
