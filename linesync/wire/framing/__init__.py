"""Framing: bytes to frames and back, with digits, payload forms, the check, and the repair of damaged frames."""
