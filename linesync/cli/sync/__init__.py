"""Commands that synchronise."""
