"""The state of a line: its counters, its session, and the symptoms of a wrong cable, baud rate or peer."""
