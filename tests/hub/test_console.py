"""How noise is shown in a console log."""

from __future__ import annotations

from linesync.hub.console import escaped


def test_noise_that_is_text_reads_as_text() -> None:
    text = b"[    4.28] odd ^DDAAAA\tmessage\r\n[    4.41] the next one\n"
    assert escaped(text) == text


def test_bytes_that_are_no_text_are_shown_by_their_numbers() -> None:
    assert escaped(b"\x00a\xff\x1b[0m\rb\r\r\n\x7f") == b"\\x00a\\xff\\x1b[0m\\x0db\\x0d\r\n\\x7f"
