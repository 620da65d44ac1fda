"""Groups on virtual time."""
