"""The window of a forwarded connection."""

from __future__ import annotations

from linesync import limits
from linesync.jobs.sockets.window import CONFIRM_AFTER, SendWindow


def transfer(rate: float, delay: float, seconds: float) -> tuple[float, SendWindow]:
    """Send as fast as the window allows over a line.

    :param rate: bytes per second.
    :param delay: seconds from the end of a piece to its confirmation.
    :returns: the share of the line that was used in the second half of the time, and the window.
    """
    window, now, free_at, position, used = SendWindow(), 0.0, 0.0, 0, 0.0
    confirmations: list[tuple[float, int]] = []
    while now < seconds:
        if window.room >= min(512, window.size) or not window.unconfirmed:
            size = min(window.room, CONFIRM_AFTER)
            window.sent(size, now)
            position += size
            free_at = max(free_at, now) + size / rate
            used += size if now > seconds / 2 else 0
            confirmations.append((free_at + delay, position))
        else:
            now, confirmed = confirmations.pop(0)
            window.confirmed(confirmed, now)
    return used / rate / (seconds / 2), window


def test_a_slow_line_is_full_and_has_less_than_a_second_of_bytes_in_its_queues() -> None:
    for rate in (960, 11520, 92160):
        share, window = transfer(rate, 0.03, 60.0)
        assert share > 0.95, rate
        assert window.size <= max(rate, limits.FORWARD_LEAST), rate


def test_a_fast_line_gets_the_largest_window() -> None:
    _, window = transfer(100e6, 0.002, 0.5)
    assert window.size == limits.FORWARD_MOST


def test_a_few_bytes_do_not_change_the_window() -> None:
    window = SendWindow()
    first = window.size
    for number in range(1, 100):
        window.sent(1, number)
        window.confirmed(number, number + 0.01)
    assert window.size == first and window.unconfirmed == 0


def test_impossible_confirmations_are_ignored() -> None:
    window = SendWindow()
    window.sent(100, 0.0)
    for position in (-1, 0, 101, 1 << 60):
        window.confirmed(position, 1.0)
    assert window.unconfirmed == 100
    window.confirmed(60, 1.0)
    window.confirmed(50, 1.0)
    assert window.unconfirmed == 40
