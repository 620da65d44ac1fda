"""The data that the hub keeps when it restarts."""
