"""Files of a host: copies in both directions, and writing in place."""
