"""The hub: the process on the controller that serves the lines to all hosts."""
