"""What all measurements use: processes, cables, exact times, and a priority over other processes."""
