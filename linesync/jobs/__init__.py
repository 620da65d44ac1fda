"""Jobs over a channel: commands and files. The host's side, and the part of the client's side without a loop."""
