"""Broken or hostile peers of a real hub and a real agent: how much memory and time of theirs one peer can use."""
