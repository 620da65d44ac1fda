"""The permissions of scripts: the policy of the hub, and its audit log."""
