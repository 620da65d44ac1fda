"""The synchronisation services as pure state machines."""
