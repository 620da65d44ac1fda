"""Who may do what: the policy of the hub, and its audit log."""
