"""Shared by the measurements: processes, cables, exact times, and real-time priority."""
