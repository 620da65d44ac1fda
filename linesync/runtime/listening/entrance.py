"""The accepted lines of a hub or an agent, and the bounds on them (docs/protocol.md, 4.10).

1. A process has a fixed number of *places*. Each accepted line takes a place. The process has enough file descriptors for all
   places. If no place or no descriptor is free, the other end of a new connection gets the reason as a line of text, and the
   connection is closed.
2. A session must begin soon after the line was accepted. Otherwise the line is closed.
3. The connections of one process may take only a share of the places. The same applies to one user, and to one address.
4. A script is idle if it has no hold and waits for nothing. The connection of an idle script is closed after a silence of ten
   minutes. If a new connection finds no free place, the idle script with the longest silence loses its place, if this silence
   is at least half a minute.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ... import limits, open_files
from ..refusal import refusal
from .reports import Report

if TYPE_CHECKING:
    from ..peer import Peer

__all__ = ["Entrance", "places"]

_KEPT_FREE = 32  # descriptors that are kept free for lines to hosts, commands and files, ...
_KEPT_FREE_SHARE = 8  # ... or one eighth of all descriptors, if this is more
_SEARCH = 1.0  # seconds between searches for silent peers
_FILES = (errno.EMFILE, errno.ENFILE)
_LOOKS = 10  # the number of searches in the time of silence after which a script is closed


def places() -> int:
    """The number of places: the lines that this process can accept and still have enough descriptors for its work."""
    most = open_files.most()
    return max(min(limits.SESSIONS, most - max(_KEPT_FREE, most // _KEPT_FREE_SHARE)), 1)


def _senders(peer: Peer) -> list[tuple[str, float]]:
    """The process, user and address at the other end of a line, each with its share of the places.

    The list is empty if they are not known.
    """
    info = peer.info
    if info is None or not info.peer:
        return []
    if info.uid is not None:
        return [(info.peer, limits.PROCESS_SHARE), (f"uid {info.uid}", limits.SENDER_SHARE)]
    return [(info.peer.rpartition(":")[0], limits.SENDER_SHARE)] if info.kind == "tcp" else []


class Entrance:
    """Accepts or refuses new lines. It implements :class:`linesync.transports.Door`.

    :param own_name: the name of this process for sentences: ``the hub``, or the agent and its host.
    :param report: writes to the log.
    :param idle: returns whether a peer may be closed because it is silent.
    :param close: closes a peer for a reason.
    :param most: the number of places; by default, :func:`places`.
    """

    def __init__(
        self,
        own_name: str,
        report: Report,
        idle: Callable[[Peer], bool],
        close: Callable[[Peer, str], None],
        most: int | None = None,
    ) -> None:
        self.peers: set[Peer] = set()  # bound: limits.SESSIONS
        """The peers of the accepted lines."""
        self.places = places() if most is None else most
        self._own_name = own_name
        self._report = report
        self._idle = idle
        self._close = close
        self._greeting: dict[Peer, float] = {}  # bound: limits.SESSIONS
        """The peers whose session has not begun: peer to its deadline, in the order of the deadlines."""
        self._loop = asyncio.get_running_loop()
        self._silent: list[Peer] = []
        """The silent scripts that the last search found. The script with the longest silence is the last."""
        self._searched_at = float("-inf")
        self._look_at: asyncio.TimerHandle | None = None
        self._greet_at: asyncio.TimerHandle | None = None

    # -- new connections ----------------------------------------------------------------------------------------------

    def refusal(self) -> bytes:
        if len(self.peers) < self.places or self.make_room():
            return b""
        sentence = (
            f"{self._own_name} has no place for another connection ({len(self.peers)} of {self.places} are taken); end some"
            " scripts, or try again later"
        )
        self._report(sentence, peer=self._own_name, burst=1)
        return refusal(sentence)

    def exhausted(self, error: OSError) -> bytes:
        why = (error.strerror or str(error)).lower()
        advice = (
            f", or start it with a higher limit than {open_files.most()} (ulimit -n)" if error.errno in _FILES else ""
        )
        sentence = f"{self._own_name} cannot accept another connection: {why}; end some scripts{advice}"
        self._report(sentence, peer=self._own_name, burst=1)
        self.make_room()
        return refusal(sentence)

    def enter(self, peer: Peer) -> None:
        """Handle an accepted line: its peer takes a place, and its session must begin soon."""
        self.peers.add(peer)
        self._greeting[peer] = self._loop.time() + limits.HANDSHAKE
        self._set_timers()

    def greeted(self, peer: Peer) -> None:
        """Handle the start of the session of a peer."""
        self._greeting.pop(peer, None)

    def crowded(self, peer: Peer, scripts: Callable[[], Collection[Peer]], most: int) -> str:
        """The reason why a new peer gets no place although places are free: its process, its user or its address already
        has its share. Empty if the peer gets a place.

        :param scripts: returns the peers to which the share applies.
        :param most: the number of places to which the share applies.
        """
        for sender, share in _senders(peer):
            allowed = max(int(most * share), 1)
            if len(self.peers) <= allowed:
                continue
            if sum(1 for script in scripts() if (sender, share) in _senders(script)) > allowed:
                return (
                    f"{self._own_name} has no place for another connection of {sender} ({allowed} of its {allowed} places are"
                    " taken, and the others are for other users); end some of its scripts, or try again later"
                )
        return ""

    def session_over(self, peer: Peer) -> None:
        """Handle the end of the session of a peer. Another session may begin on its line."""
        if peer in self.peers:
            self.enter(peer)

    def replace(self, peer: Peer, known: Peer) -> None:
        """Replace a peer by a known peer, which gets its line. If the line was accepted, it also gets its place."""
        accepted = peer in self.peers
        self.leave(peer)
        self.leave(known)
        if accepted:
            self.peers.add(known)

    def leave(self, peer: Peer) -> None:
        """Remove a peer, whose line is closed."""
        self.peers.discard(peer)
        self._greeting.pop(peer, None)

    # -- silent peers -------------------------------------------------------------------------------------------------

    def make_room(self) -> bool:
        """Close the idle script with the longest silence, if it was silent for at least half a minute.

        :return: whether a script was closed.
        """
        now = self._loop.time()
        if not self._silent and now - self._searched_at >= _SEARCH:
            self._searched_at = now
            self._silent = [peer for peer in self.peers if self._silence(peer) >= limits.SCRIPT_RECLAIM]
            self._silent.sort(key=self._silence)
        while self._silent:
            longest = self._silent.pop()
            silence = self._silence(longest) if longest in self.peers else 0.0
            if silence >= limits.SCRIPT_RECLAIM:
                self._close(longest, f"it was silent for {silence:.0f} s, and its place is needed")
                return True
        return False

    def _silence(self, peer: Peer) -> float:
        """The seconds since an idle peer was last heard; 0 for a peer that is not idle."""
        if peer.link is None or peer in self._greeting or not self._idle(peer):
            return 0.0
        return self._loop.time() - peer.link.heard_at

    def _set_timers(self) -> None:
        if self._greet_at is None and self._greeting:
            self._greet_at = self._loop.call_at(next(iter(self._greeting.values())), self._end_greetings)
        if self._look_at is None and self.peers:
            self._look_at = self._loop.call_later(limits.SCRIPT_SILENCE / _LOOKS, self._look)

    def _end_greetings(self) -> None:
        """Close the lines on which no session has begun in time."""
        self._greet_at = None
        now = self._loop.time()
        for peer in [peer for peer, until in self._greeting.items() if until <= now]:
            self._greeting.pop(peer, None)
            self._close(peer, "no session began")
        self._set_timers()

    def _look(self) -> None:
        """Close the scripts that were silent for too long."""
        self._look_at = None
        for peer in [peer for peer in self.peers if self._silence(peer) >= limits.SCRIPT_SILENCE]:
            self._close(peer, f"it was silent for {limits.SCRIPT_SILENCE:.0f} s")
        self._set_timers()

    def close(self) -> None:
        """Stop the timers."""
        for timer in (self._look_at, self._greet_at):
            if timer is not None:
                timer.cancel()
