"""Bytes to frames and back: digits, payload forms, the check, repair of damaged frames."""
