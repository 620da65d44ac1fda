"""The handshake: two ends agree on a session, and detect that their sessions differ (section 4.4 of docs/protocol.md).

A session is identified by the nonces of the two ends. A hello contains the nonce of its sender and, if the sender knows it,
the nonce of the receiver. If an end receives its own current nonce as the receiver's nonce of a hello, the hello is new and
not an old copy.

A hello alone never replaces a session, because it may be an old copy. The answer to it is an *offer* with a new random nonce.
The old session ends when a message arrives that only a peer with this offer can send: a hello that names the offered nonce,
or a frame whose check has a seed from this nonce.

``TRANSITIONS`` is complete. The code reads the next state and the action from this table, and changes the state only in this
way. An event without an entry for the current state changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import limits
from ...frozen_record import Record
from ..framing.check import session_seed
from ..framing.frames import Hello

__all__ = [
    "ANSWER",
    "COUNT_ECHO",
    "ESTABLISH",
    "OFFER",
    "PROVE",
    "REFUSE",
    "REPORT",
    "RESUME",
    "TRANSITIONS",
    "Handshake",
    "LocalParameters",
]

# states
IDLE, OFFERED, STANDING = "idle", "offered", "standing"

# events
FROM_SELF = "hello with our own nonce"
UNKNOWN = "hello of an unknown session, naming no nonce"
STALE = "hello naming a nonce that is not ours"
TO_US = "hello naming our nonce"
TO_OFFER = "hello naming the nonce we offered"
SAME = "hello of the standing session, naming our nonce"
SAME_UNHEARD = "hello of the standing session, not naming our nonce"
OTHER_STATION = "hello of another station"
INCOMPATIBLE = "hello that we refuse"
OFFER_FRAME = "frame keyed by the nonce we offered"
ENDED = "end of the session"

# actions
COUNT_ECHO = "count an echo"
OFFER = "offer a session"
ANSWER = "answer with a hello"
ESTABLISH = "establish, then poll"
PROVE = "send an acknowledgement"
RESUME = "ask who knows this session"
REPORT = "report another station"
REFUSE = "refuse"
DRAW_NONCE = "draw another nonce"

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (IDLE, FROM_SELF): (IDLE, COUNT_ECHO),
    (IDLE, UNKNOWN): (OFFERED, OFFER),
    (IDLE, STALE): (IDLE, RESUME),
    (IDLE, TO_US): (STANDING, ESTABLISH),
    (IDLE, INCOMPATIBLE): (IDLE, REFUSE),
    (OFFERED, FROM_SELF): (OFFERED, COUNT_ECHO),
    (OFFERED, UNKNOWN): (OFFERED, OFFER),
    (OFFERED, STALE): (OFFERED, RESUME),
    (OFFERED, TO_US): (STANDING, ESTABLISH),
    (OFFERED, TO_OFFER): (STANDING, ESTABLISH),
    (OFFERED, OFFER_FRAME): (STANDING, ESTABLISH),
    (OFFERED, INCOMPATIBLE): (OFFERED, REFUSE),
    (STANDING, FROM_SELF): (STANDING, COUNT_ECHO),
    (STANDING, SAME): (STANDING, PROVE),
    (STANDING, SAME_UNHEARD): (STANDING, ANSWER),
    (STANDING, UNKNOWN): (STANDING, OFFER),
    (STANDING, STALE): (STANDING, OFFER),
    (STANDING, TO_US): (STANDING, REPORT),
    (STANDING, TO_OFFER): (STANDING, ESTABLISH),
    (STANDING, OFFER_FRAME): (STANDING, ESTABLISH),
    (STANDING, OTHER_STATION): (STANDING, REPORT),
    (STANDING, INCOMPATIBLE): (STANDING, REFUSE),
    (STANDING, ENDED): (IDLE, DRAW_NONCE),
}
"""The transitions: (state, event) to (next state, action)."""

_DISPLACED_FOR = 10.0  # seconds for which a peer that another peer has replaced counts as another station


class LocalParameters(Record):
    """The parameters that an end announces in every hello (section 4.1 of docs/protocol.md)."""

    role: str
    """The role of this end: ``c`` calls, ``l`` listens."""
    boot: str
    """The boot id of this process, eight digits."""
    frame: int
    """The longest frame that this end accepts, in bytes."""
    credit: int
    """The credit that this end gives to each new channel, in bytes."""
    flags: str
    """The abilities of this end, as letters of :mod:`linesync.wire.framing.hello_flags`."""


class Handshake:
    """The state of the handshake at one end.

    :param tokens: returns a new nonce of eight random digits on each call.
    """

    def __init__(self, local: LocalParameters, tokens: Callable[[], str]) -> None:
        self.local = local
        self._tokens = tokens
        self.state = IDLE
        self.nonce = tokens()
        """The nonce of this end in the standing session, or in the next session."""
        self.peer: Hello | None = None
        """The hello of the peer of the standing session; None without a session."""
        self._offer: tuple[Hello, str] | None = (
            None  # (the hello that got the offer, the nonce of this end in the offer)
        )
        self._displaced = ("", 0.0)  # (the boot id of the peer that another peer has replaced, the time)

    def announce(self, flag: str, on: bool) -> None:
        """Include a flag in the hellos of this end from now on, or omit it."""
        local = self.local
        flags = local.flags.replace(flag, "") + (flag if on else "")
        if flags != local.flags:
            self.local = local.but(flags=flags)

    def leads(self, peer: Hello) -> bool:
        """Whether this end is the leader, in protocols in which only one end may ask. The caller is the leader. If both ends
        have the same role, the end with the greater nonce is the leader."""
        own_role, peer_role = self.local.role, peer.role
        return own_role == "c" if own_role != peer_role else self.nonce > peer.nonce

    def _pairs(self) -> list[tuple[str, str]]:
        """The nonces (own, peer's) of the standing session and of the offered session."""
        pairs = [] if self.peer is None else [(self.nonce, self.peer.nonce)]
        if self._offer is not None:
            pairs.append((self._offer[1], self._offer[0].nonce))
        return pairs

    def inbound_seeds(self) -> tuple[int, ...]:
        """The seeds of frames for this end: of the standing session, then of the offer."""
        return tuple(session_seed(peer_nonce, own_nonce) for own_nonce, peer_nonce in self._pairs())

    def outbound_seeds(self) -> tuple[int, ...]:
        """The seeds of frames from this end: of the standing session, then of the offer."""
        return tuple(session_seed(own_nonce, peer_nonce) for own_nonce, peer_nonce in self._pairs())

    def hello(self, to: Hello | None = None) -> Hello:
        """The hello to send now: the answer to the hello ``to``, or a call without ``to``."""
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

    # -- events --------------------------------------------------------------------------------------------------------

    def received(self, hello: Hello, now: float, *, alive: bool, adopt: bool) -> str:
        """Handle a received hello.

        :param alive: whether a frame of the standing session arrived a short time ago.
        :param adopt: whether a stale hello counts as a hello of an unknown session, because no link has its session.
        :returns: the action, which the caller completes; empty for none.
        """
        event = self._classify(hello, now, alive=alive)
        if event != OTHER_STATION and self.refusal(hello):
            event = INCOMPATIBLE
        elif event == STALE and adopt:
            event = UNKNOWN
        return self._step(event, hello, hello.peer, now)

    def frame_keyed(self, seed: int, now: float) -> bool:
        """Handle a frame whose check is correct with ``seed``. Return whether it establishes the offered session."""
        if self._offer is None or seed != session_seed(self._offer[0].nonce, self._offer[1]):
            return False
        if self.peer is not None and seed == self.inbound_seeds()[0]:
            return False
        return self._step(OFFER_FRAME, *self._offer, now) == ESTABLISH

    def end(self) -> None:
        """End the standing session. The next session gets another nonce."""
        if self.peer is not None:
            self._step(ENDED, self.peer, self.nonce, 0.0)

    def _step(self, event: str, hello: Hello, nonce: str, now: float) -> str:
        """Make the transition of an event. No other code changes the state.

        :param nonce: the nonce of this end in the session that the event may establish.
        :returns: the action; empty for none.
        """
        self.state, action = TRANSITIONS.get((self.state, event), (self.state, ""))
        if action == OFFER:
            self._make_offer(hello)
        elif action == ESTABLISH:
            self._establish(hello, nonce, now)
        elif action == DRAW_NONCE:
            self.peer = self._offer = None
            self.nonce = self._tokens()
        return action

    def _make_offer(self, hello: Hello) -> None:
        if self._offer is None or self._offer[0].nonce != hello.nonce:
            self._offer = (hello, self._tokens() if self.peer is not None else self.nonce)

    def _establish(self, hello: Hello, nonce: str, now: float) -> None:
        if self.peer is not None and self.peer.boot != hello.boot:
            self._displaced = (self.peer.boot, now)
        self.nonce = nonce
        self.peer = hello
        self._offer = None

    # -- hellos --------------------------------------------------------------------------------------------------------

    def refusal(self, hello: Hello) -> str:
        """The reason why this end refuses a peer, as a sentence; empty if it accepts the peer."""
        if hello.oldest > limits.VERSION or hello.newest < limits.OLDEST_VERSION:
            return (
                f"the peer speaks protocol versions {hello.oldest} to {hello.newest}, this side"
                f" {limits.OLDEST_VERSION} to {limits.VERSION}; install versions of linesync that overlap"
            )
        unknown = [flag for flag in hello.flags if flag.isupper()]
        if unknown:
            return (
                f"the peer (protocol version {hello.newest}) requires {', '.join(unknown)}, which this side"
                f" (version {limits.VERSION}) does not know; update linesync here"
            )
        return ""

    def _classify(self, hello: Hello, now: float, *, alive: bool) -> str:
        """The event of a hello: the first matching event in the order of section 4.4."""
        offered = self._offer[1] if self._offer else ""
        if hello.nonce in (self.nonce, offered):
            return FROM_SELF
        if self.peer is not None and hello.nonce == self.peer.nonce:
            return SAME if hello.peer == self.nonce else SAME_UNHEARD
        if offered and hello.peer == offered and self._offer and hello.nonce == self._offer[0].nonce:
            return TO_OFFER
        if self.peer is None:
            if hello.peer == self.nonce:
                return TO_US
            return STALE if hello.peer else UNKNOWN
        if hello.peer == self.nonce and not alive:
            return TO_OFFER  # a restarted peer has answered a call of this end
        second_caller = self.local.role == hello.role != self.peer.role
        if alive and (second_caller or self._was_displaced(hello, now)):
            return OTHER_STATION
        if hello.peer == self.nonce:
            return TO_US
        return STALE if hello.peer else UNKNOWN

    def _was_displaced(self, hello: Hello, now: float) -> bool:
        """Whether the hello is from a peer that another peer has replaced a short time ago. Two stations then share the
        line."""
        boot, at = self._displaced
        return hello.boot == boot and now - at < _DISPLACED_FOR
