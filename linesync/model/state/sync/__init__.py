"""The state of the synchronisation services, as it is shown."""
