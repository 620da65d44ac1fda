"""Completion of linesync commands in bash, zsh and fish."""
