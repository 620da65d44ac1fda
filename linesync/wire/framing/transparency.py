"""The test of a line for the bytes that it carries unchanged (section 7.1 of docs/protocol.md).

1. At first, the receiver reads seven bits of each byte, and drops the control characters that some lines insert. The sender
   asks it to read eight bits. The receiver does not answer if the line has set the eighth bit of received bytes.
2. Some lines damage certain groups of bytes. The sender sends each group in a small frame, a *try*. The answer shows that the
   group arrived unchanged. A group without an answer to three tries is escaped from then on.
3. A line that damages most bytes above 127 has seven bits. Payloads then stay in base64, and the receiver reads seven bits
   again.

The test takes two round trips and 350 bytes. The result is valid for one line. On another line, the sender starts again.
"""

from __future__ import annotations

from ... import limits
from .payload import MaskedForm

__all__ = ["GROUPS", "READ_EIGHT_BITS", "READ_SEVEN_BITS", "TransparencyProbe"]

GROUPS = (
    bytes(
        (1, 2, 5, 6, 7, 8, 9, 11, 12, 14, 16, 20, 24, 25, 27, 29, 30, 31)
    ),  # 1: controls without a special meaning to lines
    bytes((0, 127)),  # 2: NUL and DEL, the padding of old lines
    bytes((19, 17)),  # 3: XOFF, and XON immediately after it
    bytes((3, 4, 15, 18, 21, 22, 23, 26, 28)),  # 4: the signal and editing characters of ttys
    bytes(byte for byte in range(128, 160) if byte not in (145, 147)),  # 5: controls with the eighth bit
    bytes((147, 145)),  # 6: XOFF and XON with the eighth bit
    bytes(range(160, 255)),  # 7: a line that damages these has seven bits
    bytes((255,)),  # 8: the byte that ttys double or mark parity errors with
)
"""The groups of bytes, numbered from 1. The bytes of a group are tried together."""

READ_EIGHT_BITS = 0
"""The number of a try that asks the receiver to read eight bits."""
READ_SEVEN_BITS = 31
"""The number of a try that asks the receiver to read seven bits again."""
_EIGHTH_BIT = 7  # the number of the group that a line with seven bits damages


class TransparencyProbe:
    """The sender's side of the test, for one direction of one line.

    :param wanted: whether to test the line: both ends know the masked form, and the line is not a clean pipe.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self.begin()

    def begin(self) -> None:
        """Start the test, because this end or the peer has a new line."""
        self.escapes: MaskedForm | None = None
        """The encoder of the masked form; None while payloads are in base64."""
        self.retry_at: float | None = None
        """The time at which the last try counts as unanswered, in seconds; None if no try waits for an answer."""
        groups = [READ_EIGHT_BITS, *range(1, len(GROUPS) + 1)]
        self._tries = dict.fromkeys(groups, 0) if self._wanted else {}  # bound: fixed
        """The groups without a result, each with the number of its tries."""
        self._next = [READ_EIGHT_BITS] if self._wanted else []  # groups that can be tried now; bound: fixed
        self._harmed: list[int] = []  # bound: fixed

    @property
    def waiting(self) -> bool:
        """Whether a group waits to be tried."""
        return bool(self._next)

    def next_try(self, patience: float, now: float) -> tuple[int, bytes] | None:
        """Take the next group to try: its number and its bytes; None if no group waits.

        :param patience: seconds after which the try counts as unanswered.
        """
        if not self._next:
            return None
        group = self._next.pop(0)
        self.retry_at = now + patience
        if group == READ_SEVEN_BITS:
            self.retry_at = None
            return group, b""
        self._tries[group] += 1
        return group, GROUPS[group - 1] if group else b""

    def answered(self, group: int) -> None:
        """Record that the peer received a group unchanged. An answer without a try is ignored."""
        if group not in self._tries or not self._tries[group]:
            return
        del self._tries[group]
        if group in self._next:  # the answer was late
            self._next.remove(group)
        if group == READ_EIGHT_BITS:
            self._next = list(self._tries)
        self._choose_form()

    def handle_timer(self, now: float) -> None:
        """Repeat the unanswered tries. After the last try, the group counts as damaged."""
        if self.retry_at is None or now < self.retry_at:
            return
        self.retry_at = None
        for group, tries in list(self._tries.items()):
            if group in self._next or not tries:
                continue
            if tries < limits.PROBE_TRIES:
                self._next.append(group)
            else:
                del self._tries[group]
                self._harmed.append(group)
        if READ_EIGHT_BITS in self._harmed:
            self._tries.clear()
        self._choose_form()

    def _choose_form(self) -> None:
        """Choose the form of payloads as soon as all groups have a result."""
        if self._tries:
            return
        self.retry_at = None
        if READ_EIGHT_BITS in self._harmed:
            return
        if _EIGHTH_BIT in self._harmed:
            self._next = [READ_SEVEN_BITS]
        else:
            self.escapes = MaskedForm(b"".join(GROUPS[group - 1] for group in self._harmed))

    def revert_to_base64(self) -> None:
        """Use base64 from now on, because the line damages bytes that it carried before."""
        self.escapes = None
        self._next = [READ_SEVEN_BITS]
        self._wanted = False
