"""Serial ports."""
