"""The data of a hub on the disk: its state, its fencing tokens, and the exchanged data that is too large for the memory."""
