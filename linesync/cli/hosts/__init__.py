"""Commands that do something on a host."""
