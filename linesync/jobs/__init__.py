"""Jobs over a channel: commands and files. It has the host's side, and the part of the client's side without an event loop."""
