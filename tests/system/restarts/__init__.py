"""Restarts of the hub on virtual time: sessions, exchanges and commands continue."""
