"""Framing: the conversion between bytes and frames, the forms of payloads, the check, and the repair of damaged frames."""
