"""Groups, as their members use them."""
