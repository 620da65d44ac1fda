"""The parts of the benchmark. Each part has one module; the other modules contain workloads and helper processes."""
