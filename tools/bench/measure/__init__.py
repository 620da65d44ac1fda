"""The parts of the benchmark: one module for each, with its workloads and its helper processes."""
