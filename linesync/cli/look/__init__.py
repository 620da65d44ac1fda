"""Commands that show the state of hosts, lines and waits."""
