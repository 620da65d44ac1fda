"""The public test kit: lines with faults, on a virtual clock and on real ptys, and the conformance check."""
