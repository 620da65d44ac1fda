"""How two ends come to share a session, and notice when they no longer do.

The transitions below are the whole of it; what is not in the table leaves the state as it is. A session is the pair of
the two ends' nonces. A hello tells the speaker's nonce and, where it knows it, the listener's; whoever sees its own
nonce come back knows that the other side lives now, and not in a recording.

A new session never takes the place of a standing one on the strength of a hello alone, which may be a stale copy: we
answer with an *offer*, a nonce made for it, and the old session ends when something that only a living peer can send
comes back: a hello that names the offered nonce, or a frame whose check is keyed by it.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import limits
from ...frozen_record import Record
from ..framing.check import session_seed
from ..framing.frames import Hello

__all__ = [
    "ANSWER",
    "ECHO",
    "ESTABLISH",
    "PROVE",
    "REFUSE",
    "RESUME",
    "THIRD",
    "TRANSITIONS",
    "Handshake",
    "LocalParameters",
]

# states
IDLE, OFFERED, STANDING = "idle", "offered", "standing"
# what came: a hello ...
FROM_SELF = "hello with our own nonce"
NEW = "hello of an unknown session, naming no nonce"
STALE = "hello naming a nonce that is not ours"
TO_US = "hello naming our nonce"
TO_OFFER = "hello naming the nonce we offered"
SAME = "hello of the standing session, naming our nonce"
SAME_DEAF = "hello of the standing session, not naming our nonce"
OFFER_FRAME = "frame keyed by the nonce we offered"
# what to do
ECHO, ANSWER, ESTABLISH, PROVE, RESUME, THIRD, REFUSE = (
    "count an echo",
    "answer with a hello",
    "establish, then poll",
    "send an acknowledgement",
    "ask who knows this session",
    "report a third talker",
    "refuse",
)

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (IDLE, FROM_SELF): (IDLE, ECHO),
    (IDLE, NEW): (OFFERED, ANSWER),
    (IDLE, STALE): (IDLE, RESUME),
    (IDLE, TO_US): (STANDING, ESTABLISH),
    (OFFERED, FROM_SELF): (OFFERED, ECHO),
    (OFFERED, NEW): (OFFERED, ANSWER),
    (OFFERED, STALE): (OFFERED, RESUME),
    (OFFERED, TO_US): (STANDING, ESTABLISH),
    (OFFERED, TO_OFFER): (STANDING, ESTABLISH),
    (OFFERED, OFFER_FRAME): (STANDING, ESTABLISH),
    (STANDING, FROM_SELF): (STANDING, ECHO),
    (STANDING, SAME): (STANDING, PROVE),
    (STANDING, SAME_DEAF): (STANDING, ANSWER),
    (STANDING, NEW): (STANDING, ANSWER),
    (STANDING, STALE): (STANDING, ANSWER),
    (STANDING, TO_US): (STANDING, THIRD),
    (STANDING, TO_OFFER): (STANDING, ESTABLISH),
    (STANDING, OFFER_FRAME): (STANDING, ESTABLISH),
}
"""(state, what came) to (next state, what to do)."""


class LocalParameters(Record):
    """What an end says of itself in every hello."""

    role: str
    """``c`` or ``l``."""
    boot: str
    frame: int
    credit: int
    flags: str


class Handshake:
    """One end's part.

    :param tokens: gives a fresh nonce of eight random digits each time.
    """

    def __init__(self, local: LocalParameters, tokens: Callable[[], str]) -> None:
        self.local = local
        self._tokens = tokens
        self.nonce = tokens()
        self.peer: Hello | None = None
        """The peer of the standing session."""
        self._offer: tuple[Hello, str] | None = None
        self._displaced = ("", 0.0)

    @property
    def state(self) -> str:
        if self.peer is not None:
            return STANDING
        return OFFERED if self._offer is not None else IDLE

    def announce(self, flag: str, on: bool) -> None:
        """Say in our hellos from now on that we do something, or that we do not."""
        local = self.local
        flags = local.flags.replace(flag, "") + (flag if on else "")
        if flags != local.flags:
            self.local = LocalParameters(
                role=local.role, boot=local.boot, frame=local.frame, credit=local.credit, flags=flags
            )

    def leads(self, peer: Hello) -> bool:
        """Whether we ask and this peer answers, where one of the two must: the caller; of two alike, the greater
        nonce."""
        mine, theirs = self.local.role, peer.role
        return mine == "c" if mine != theirs else self.nonce > peer.nonce

    def _pairs(self) -> list[tuple[str, str]]:
        """(our nonce, peer's nonce) of the standing and the offered session."""
        pairs = [] if self.peer is None else [(self.nonce, self.peer.nonce)]
        if self._offer is not None:
            pairs.append((self._offer[1], self._offer[0].nonce))
        return pairs

    def inbound_seeds(self) -> tuple[int, ...]:
        return tuple(session_seed(theirs, ours) for ours, theirs in self._pairs())

    def outbound_seeds(self) -> tuple[int, ...]:
        return tuple(session_seed(ours, theirs) for ours, theirs in self._pairs())

    def hello(self, to: Hello | None = None) -> Hello:
        """The hello to send now: an answer to ``to``, or our call."""
        nonce, peer = self.nonce, self.peer.nonce if self.peer else ""
        if to is not None:
            peer = to.nonce
            if self._offer is not None and self._offer[0].nonce == to.nonce:
                nonce = self._offer[1]
        return Hello(
            oldest=limits.OLDEST_VERSION,
            newest=limits.VERSION,
            role=self.local.role,
            nonce=nonce,
            peer=peer,
            boot=self.local.boot,
            frame=self.local.frame,
            credit=self.local.credit,
            flags=self.local.flags,
        )

    def received(self, hello: Hello, now: float, *, alive: bool, adopt: bool) -> str:
        """Take a hello; say what to do.

        :param alive: the standing session was heard a short while ago.
        :param adopt: a stale hello is to be taken as a new one (nobody knows its session).
        """
        what = self._classify(hello, now, alive=alive)
        if what is None:
            return THIRD
        if self.refusal(hello):
            return REFUSE
        if what == STALE and adopt:
            what = NEW
        _, action = TRANSITIONS.get((self.state, what), (self.state, ""))
        if action == ANSWER and what in (NEW, STALE):
            self._make_offer(hello)
        elif action == ESTABLISH:
            self._establish(hello, now)
        return action

    def frame_keyed(self, seed: int, now: float) -> bool:
        """A frame whose check was right under ``seed`` came; True when that establishes the offered session."""
        if self._offer is None or seed != session_seed(self._offer[0].nonce, self._offer[1]):
            return False
        if self.peer is not None and seed == self.inbound_seeds()[0]:
            return False
        self._establish(self._offer[0], now)
        return True

    def end(self) -> None:
        """The session is over; the next one has a nonce of its own."""
        self.peer = None
        self._offer = None
        self.nonce = self._tokens()

    def refusal(self, hello: Hello) -> str:
        """Why we cannot speak with this peer, as a sentence; empty when we can."""
        if hello.oldest > limits.VERSION or hello.newest < limits.OLDEST_VERSION:
            return (
                f"the peer speaks protocol versions {hello.oldest} to {hello.newest}, this side"
                f" {limits.OLDEST_VERSION} to {limits.VERSION}; install versions of linesync that overlap"
            )
        unknown = [flag for flag in hello.flags if flag.isupper()]
        if unknown:
            return (
                f"the peer (protocol version {hello.newest}) insists on {', '.join(unknown)}, which this side"
                f" (version {limits.VERSION}) does not know; update linesync here"
            )
        return ""

    def _classify(self, hello: Hello, now: float, *, alive: bool) -> str | None:
        offered = self._offer[1] if self._offer else ""
        if hello.nonce in (self.nonce, offered):
            return FROM_SELF
        if self.peer is not None and hello.nonce == self.peer.nonce:
            return SAME if hello.peer == self.nonce else SAME_DEAF
        if offered and hello.peer == offered and self._offer and hello.nonce == self._offer[0].nonce:
            return TO_OFFER
        if self.peer is None and hello.peer == self.nonce:
            return TO_US
        if self.peer is None:
            return STALE if hello.peer else NEW
        if hello.peer == self.nonce and not alive:
            self._offer = (hello, self.nonce)  # our call, answered by a peer that has begun a new life
            return TO_OFFER
        second_caller = self.local.role == hello.role != self.peer.role
        if alive and (second_caller or self._was_displaced(hello, now)):
            return None
        if hello.peer == self.nonce:
            return TO_US
        return STALE if hello.peer else NEW

    def _was_displaced(self, hello: Hello, now: float) -> bool:
        """A peer that lost this line to another a moment ago wants it back: two talk on one line."""
        boot, at = self._displaced
        return hello.boot == boot and now - at < 10.0

    def _make_offer(self, hello: Hello) -> None:
        if self._offer is None or self._offer[0].nonce != hello.nonce:
            self._offer = (hello, self._tokens() if self.peer is not None else self.nonce)

    def _establish(self, hello: Hello, now: float) -> None:
        if self.peer is not None and self.peer.boot != hello.boot:
            self._displaced = (self.peer.boot, now)
        if self._offer is not None and self._offer[0].nonce == hello.nonce:
            self.nonce = self._offer[1]
        self.peer = hello
        self._offer = None
