"""Storage for data that is too large to keep in memory."""
