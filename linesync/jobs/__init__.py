"""Jobs over a channel: commands and files, the host's side and, where it needs no event loop, the client's too."""
