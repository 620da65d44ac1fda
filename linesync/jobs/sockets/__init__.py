"""Sockets of a host, joined with channels."""
