"""Jobs over a channel: commands and files. Has the host's side, and the client's side where it needs no event loop."""
