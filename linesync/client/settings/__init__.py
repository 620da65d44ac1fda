"""The settings of clients: where the hub is, and the settings file."""
