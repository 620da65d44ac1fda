"""Commands that synchronise hosts."""
