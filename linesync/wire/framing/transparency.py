"""Which bytes a line carries, found out by trying them: what it does not carry is escaped.

1. *Read as they come*: the receiver has read seven bits so far, and without the control characters that such lines put
   in. It is asked to take bytes as they come, which it refuses when it has seen the eighth bit set by the line.
2. *Groups*: each of the groups of bytes that lines are known to harm is sent in a small frame of its own. What is
   answered came through unharmed; what is not, three times, is escaped from now on.
3. A line that harms most bytes above 127 has seven bits: payloads stay in base64, and the receiver reads as before.

The whole takes two round trips and 350 bytes. It belongs to the line: on another one it begins anew.
"""

from __future__ import annotations

from ... import limits
from .payload import MaskedForm

__all__ = ["GROUPS", "READ_EIGHT_BITS", "READ_SEVEN_BITS", "TransparencyProbe"]

GROUPS = (
    bytes((1, 2, 5, 6, 7, 8, 9, 11, 12, 14, 16, 20, 24, 25, 27, 29, 30, 31)),  # 1: controls that nobody looks at
    bytes((0, 127)),  # 2: NUL and DEL, which old lines use as padding
    bytes((19, 17)),  # 3: XOFF, and at once XON
    bytes((3, 4, 15, 18, 21, 22, 23, 26, 28)),  # 4: what a tty takes for signals and editing
    bytes(byte for byte in range(128, 160) if byte not in (145, 147)),  # 5: controls with the eighth bit
    bytes((147, 145)),  # 6: XOFF and XON with the eighth bit
    bytes(range(160, 255)),  # 7: without these the line has seven bits
    bytes((255,)),  # 8: what a tty doubles, or marks parity errors with
)
"""What is tried together, numbered from 1 (section 7.1 of docs/protocol.md)."""

READ_EIGHT_BITS = 0
"""Stands for a group: the receiver is asked to read bytes as they come."""
READ_SEVEN_BITS = 31
"""Likewise: it is told to read seven bits again."""
_MOST = 7  # the group without which a line has seven bits


class TransparencyProbe:
    """The sender's side of it, for one direction of one line.

    :param wanted: both ends have the masked form, and the line has a use for it.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self.begin()

    def begin(self) -> None:
        """Another line, or a peer that reads anew: nothing is known of it."""
        self.escapes: MaskedForm | None = None
        """How to write the masked form, None for base64."""
        self.retry_at: float | None = None
        """When what was tried last counts as unanswered, seconds."""
        groups = [READ_EIGHT_BITS, *range(1, len(GROUPS) + 1)]
        self._tries = dict.fromkeys(groups, 0) if self._wanted else {}
        """The groups that have no verdict yet, and how often each was tried."""
        self._next = [READ_EIGHT_BITS] if self._wanted else []  # to be tried now
        self._harmed: list[int] = []

    @property
    def waiting(self) -> bool:
        """There is a group to try now."""
        return bool(self._next)

    def next_try(self, patience: float, now: float) -> tuple[int, bytes] | None:
        """The next group to try, and its bytes; None for none.

        :param patience: seconds after which it counts as unanswered.
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
        """The peer got this group; one that was not asked about says nothing."""
        if group not in self._tries or not self._tries[group]:
            return
        del self._tries[group]
        if group in self._next:  # the answer was late
            self._next.remove(group)
        if group == READ_EIGHT_BITS:
            self._next = list(self._tries)
        self._judge()

    def handle_timer(self, now: float) -> None:
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
        self._judge()

    def _judge(self) -> None:
        """All groups have their verdict: choose the form."""
        if self._tries:
            return
        self.retry_at = None
        if READ_EIGHT_BITS in self._harmed:
            return
        if _MOST in self._harmed:
            self._next = [READ_SEVEN_BITS]
        else:
            self.escapes = MaskedForm(b"".join(GROUPS[group - 1] for group in self._harmed))

    def revert_to_base64(self) -> None:
        """The line has harmed what it was thought to carry: back to base64 for good."""
        self.escapes = None
        self._next = [READ_SEVEN_BITS]
        self._wanted = False
