"""The notes that a client receives: notices for its user, and holds that the hub revokes."""

from __future__ import annotations

from .. import protocol
from ..errors import LinesyncError
from ..protocol import Note
from ..runtime.user import P, User
from .requests import Requests

__all__ = ["Notices"]


class Notices(User[P]):
    """Handles the notes and the end of the session of a client. A subclass shows or stores the notices."""

    def __init__(self) -> None:
        self.operations: Requests | None = None
        """The operations of the client, after it has connected."""

    def notice(self, text: str) -> None:
        """Handle a notice for the user."""
        raise NotImplementedError

    def session_down(self, peer: P, reason: str, restarted: bool) -> None:
        if self.operations is not None:
            self.operations.session_over(reason)

    def session_interrupted(self, peer: P, reason: str) -> None:
        self.notice(f"waiting for the hub: {reason}")

    def request(self, peer: P, number: str, text: str) -> None:
        if self.operations is not None and self.operations.heard_revoked(text):
            return
        try:
            note = protocol.decode(text, Note)
        except LinesyncError:
            return
        assert isinstance(note, Note)
        self.notice(note.text)
