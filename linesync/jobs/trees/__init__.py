"""Copies of trees of files: the sender, the receiver, and the channel between them (section 8.4 of docs/protocol.md)."""
