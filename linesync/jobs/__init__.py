"""Jobs over a channel: commands and file copies.

The package contains the host's side, and the part of the client's side that does not depend on an event loop.
"""
