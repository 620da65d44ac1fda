"""What is known about a line: its state, its counters, and the symptoms of a wrong cable, rate or peer."""
