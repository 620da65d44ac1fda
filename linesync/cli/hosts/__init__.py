"""Commands that act on a host."""
