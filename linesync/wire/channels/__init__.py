"""Many flow-controlled channels in one session."""
