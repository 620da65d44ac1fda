"""Commands on a host: their processes, users and terminals."""
