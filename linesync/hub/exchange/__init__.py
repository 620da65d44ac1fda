"""The exchanges of the hub: the data of the members."""
