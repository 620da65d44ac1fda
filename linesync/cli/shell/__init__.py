"""Completion for the shell of the user."""
