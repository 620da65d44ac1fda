"""What the hub keeps over a restart."""
