"""The settings of commands and clients: the settings file, the variables, and the endpoint of the hub."""
