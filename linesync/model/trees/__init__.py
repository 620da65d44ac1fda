"""Decisions about copies of trees of files: the names of the targets, and which entries differ."""
