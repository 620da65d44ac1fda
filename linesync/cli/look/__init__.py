"""Commands that show the state."""
