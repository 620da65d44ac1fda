"""What every measurement stands on: processes, cables, exact times, and a quiet machine."""
