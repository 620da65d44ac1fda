"""The data of a hub on the disk: its state, its fencing tokens, and data that is too large to keep in memory."""
