"""Hosts: membership, member names and published values."""
