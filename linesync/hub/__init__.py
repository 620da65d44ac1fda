"""The hub: the controller's process, which every line leads to."""
