"""The hub: the controller's process, to which all lines lead."""
