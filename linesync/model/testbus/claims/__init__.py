"""Claims of hosts: requests, and the hosts that they may get."""
