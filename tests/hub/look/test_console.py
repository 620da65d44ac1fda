"""The form of noise in a console log."""

from __future__ import annotations

from linesync.hub.look.console import escaped


def test_printable_noise_is_shown_unchanged() -> None:
    text = b"[    4.28] odd ^DDAAAA\tmessage\r\n[    4.41] the next one\n"
    assert escaped(text) == text


def test_unprintable_bytes_are_shown_as_hex_escapes() -> None:
    assert escaped(b"\x00a\xff\x1b[0m\rb\r\r\n\x7f") == b"\\x00a\\xff\\x1b[0m\\x0db\\x0d\r\n\\x7f"
