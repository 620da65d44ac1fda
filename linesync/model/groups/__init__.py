"""Groups of hosts, and services that start on them in order."""
