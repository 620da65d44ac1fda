"""The change of a line to a faster rate: the two ends agree on a rate, try it, and keep it or return to the previous rate.

The leader (the caller) asks, at the current rate, for the next faster rate that both ports support. The other end answers
*yes*, as its last frame at this rate. Both ends set their ports and send short frames until they hear each other at the new
rate. Then each end sends a series of test frames and counts the test frames of the other end. If enough frames arrived at
both ends, they keep the rate. Otherwise both return to the previous rate.

No finite exchange of frames can prove to both ends that they have the same rate. Three rules, which each end follows by
itself, prevent that the ends stay at different rates:

1. An end returns from a rate on trial to the previous rate unless both ends keep the rate in time. It also returns from a
   kept rate unless an ordinary frame soon arrives at this rate.
2. An end returns to the first rate if it receives only bytes that are neither text nor frames, or no answer at all.
3. An end stays at the first rate as long as it receives no frame.

Two ends at different rates therefore meet at the first rate. :mod:`linesync.wire.autobaud.states` has the state machine.
"""

from __future__ import annotations

from ... import limits
from . import states
from .candidates import CandidateRates
from .rate_frames import RateFrame, rate_set, read_rate_set
from .rate_monitor import RateMonitor
from .trial import RateTrial

__all__ = ["AutobaudController"]

_RETRY_PORT = 1.0  # seconds until the next attempt to set a port to its previous rate


class AutobaudController:
    """The state of one end of one line. Times are monotonic seconds.

    :param base: the first rate of the line, in bits a second.
    :param rates: the rates that the port supports, in bits a second.
    """

    def __init__(self, *, base: int, rates: tuple[int, ...]) -> None:
        self.base = base
        self.baud = base
        """The rate of the port in bits per second."""
        self.standing = base
        """The rate to which a failed trial returns, in bits a second."""
        self.state = states.IDLE
        self.round_trip = 0.1
        """The last round-trip time that the link has measured, in seconds."""
        self.frame_time = 0.0
        """The duration of the longest frame that may be on the line, in seconds."""
        self.wanted: int | None = None
        """The rate for the port as soon as all bytes have been sent; None for no change."""
        self.requested: int | None = None
        """The rate to which the owner of the line is setting the port. :meth:`changed` reports the result."""
        self.poll = False
        """Whether the link must poll, because this end needs a frame from the peer."""
        self.peer_lost = False
        """Whether the peer is lost at this rate, so that the link must call it."""
        self._candidates = CandidateRates(base, rates)
        self._trial = RateTrial(base)
        self._leads = self._able = False
        self._away = False  # whether the peer is not heard
        self._due: float | None = None  # the earliest time of the next question
        self._deadline: float | None = None  # the deadline of the current state
        self._repeat_at: float | None = None  # the time of the next repetition of a here or a keep
        self._tests_by: float | None = None  # the time by which the last test of the peer must arrive
        self._asks = 0  # consecutive questions without an answer
        self._stands_since = 0.0
        self._monitor = RateMonitor()

    @property
    def silent(self) -> bool:
        """Whether this end may send only the frames of :meth:`next_frame`."""
        return self.state in states.SILENT_STATES

    @property
    def on_trial(self) -> bool:
        """Whether the peer is not heard at this rate (not yet, or no longer). Received bytes may then be garbage."""
        return self.state in (states.SYNCHRONISING, states.RETURNING) or (
            self.state == states.FALLING_BACK and self.baud != self.base
        )

    @property
    def has_frame(self) -> bool:
        return bool(self._trial.pending)

    # -- the session ---------------------------------------------------------------------------------------------------

    def session_up(self, *, leads: bool, able: bool, now: float) -> None:
        """Begin a session, and abandon a trial of the earlier session.

        :param leads: whether this end asks for rates.
        :param able: whether the peer announces that it can change its rate.
        """
        self._leads, self._able, self._away = leads, able, False
        self._candidates.begin()
        self._asks = 0
        self._trial.pending.clear()
        if self.state in states.TRIAL_STATES or self.state in (states.CHANGING, states.VERIFYING):
            self._step(self._lost_event(), now)
        else:
            self._step(states.NEW_SESSION, now)
        self._plan(now, limits.CLIMB_START)

    def lost(self, now: float) -> None:
        """Return to the first rate, because the line became quiet or the session ended."""
        if self.state == states.IDLE and self.baud != self.base:
            if now - self._stands_since > limits.CLIMB_STEADY:
                self._candidates.clear_failures(self.baud)
            self._candidates.suspect(self.baud, now)
        self._due, self._away = None, True
        self._trial.pending.clear()
        self._step(self._lost_event(), now)

    def _lost_event(self) -> str:
        return states.LOST_AT_FIRST if self.baud == self.base else states.LOST

    def _plan(self, now: float, wait: float = 0.0) -> None:
        """Set the time of the next question.

        :param wait: the shortest time until the question, in seconds.
        """
        rate = self._candidates.above(self.standing)
        if rate is None or self._away or not (self._leads and self._able):
            self._due = None
        else:
            self._due = max(now + wait, self._candidates.not_before(rate))

    # -- receiving -----------------------------------------------------------------------------------------------------

    def heard(self, now: float) -> None:
        """Handle the arrival of an ordinary frame of the session (any frame except a rate frame)."""
        self._monitor.same_rate()
        if self._away:
            self._heard_again(now)
        self._step(states.ORDINARY, now)

    def _heard_again(self, now: float) -> None:
        self._away = False
        self._candidates.heard_again(now)
        self._plan(now, limits.CLIMB_START)

    def bytes_outside_frames(self, strange: int, now: float) -> None:
        """Handle received bytes that completed no frame.

        :param strange: the number of bytes among them that are not text.
        """
        if self.baud == self.base or self.state not in (states.IDLE, states.VERIFYING):
            return
        self._monitor.bytes_outside_frames(strange, now)

    def count_damage(self, frames: int, damaged: int, now: float) -> None:
        """Count the frames and the damaged frames that arrived since the last call."""
        if self.baud == self.base or self.state != states.IDLE:
            return
        if self._monitor.count_damage(frames, damaged, now):
            self._too_much_damage(now)

    def _too_much_damage(self, now: float) -> None:
        """Change to a slower rate, or report the damage to the leader."""
        if not self._leads:
            self._trial.queue_worse(self.baud)
            return
        self._candidates.failed(self.baud, now)
        self._trial.rate = self._candidates.below(self.baud)
        self._asks = 0
        self._step(states.TIME_TO_ASK, now)

    def receive(self, body: bytes, now: float) -> None:
        """Handle the body of a rate frame."""
        frame = RateFrame.read(body)
        self._monitor.same_rate()
        if frame is None:
            return
        if frame.step == "a" and not self._leads:
            self._asked(frame, now)
        elif frame.step == "w":
            if self._leads and self.state == states.IDLE and frame.rate == self.baud:
                self._too_much_damage(now)
        elif self._trial.owns(frame):
            self._answered(frame, now)

    def _asked(self, frame: RateFrame, now: float) -> None:
        takes = frame.rate in self._candidates.rates and self._able
        if self.state in (states.IDLE, states.VERIFYING):
            self._trial.join(frame)
            self._step(states.ASKED if takes else states.ASKED_TOO_MUCH, now)

    def _answered(self, frame: RateFrame, now: float) -> None:
        """Handle a frame of the current trial."""
        step = frame.step
        if step in ("y", "n"):
            self._candidates.set_peer_rates(read_rate_set(frame.value))
            self._step(states.YES if step == "y" else states.NO, now)
            return
        if step in ("h", "t"):
            self._step(states.HEARD_HERE, now)
        if step == "t" and self.state == states.TESTING:
            self._trial.received += 1
            if frame.value == 0:
                self._step(states.TESTS_DONE, now)
        elif step == "r":
            self._trial.reported = frame.value
            if self.state == states.EVALUATING:
                self._evaluate(now)
        elif step == "k":
            if self.state == states.CONFIRMING if self._leads else self.baud == frame.rate:
                self._step(states.KEEP, now)
        elif step == "b":
            self._step(states.BACK, now)

    # -- time ----------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        times = [self._deadline, self._repeat_at, self._tests_by if self.state == states.TESTING else None]
        if self.state == states.IDLE:
            times.append(self._due)
        times.append(self._monitor.next_timer(self.round_trip))
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        ask, lost = self._monitor.handle_timer(self.round_trip, now)
        self.poll = self.poll or ask
        if lost:
            self.peer_lost = True
            return
        if self._due is not None and self.state == states.IDLE and now >= self._due:
            self._due = None
            rate = self._candidates.above(self.standing)
            if rate is not None:
                self._trial.rate = rate
                self._step(states.TIME_TO_ASK, now)
        if self._tests_by is not None and self.state == states.TESTING and now >= self._tests_by:
            self._step(states.TESTS_DONE, now)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat_at = now + limits.CLIMB_HERE
            self._trial.queue("k" if self.state == states.CONFIRMING else "h")
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._step(states.TIMEOUT, now)

    # -- the port ------------------------------------------------------------------------------------------------------

    def changed(self, baud: int, now: float) -> None:
        """Handle the result of setting the port.

        :param baud: the rate of the port, in bits a second. It differs from the wanted rate if the port refused that rate.
        """
        requested, self.requested, self.baud = self.requested, None, baud
        wanted = self.wanted
        if wanted is None or baud == wanted:
            self.wanted = None
            self._step(states.PORT_SET, now)
        elif requested == wanted:  # the port refused
            self.wanted = None
            if self.state == states.CHANGING and baud == self.standing:
                self._candidates.remove(wanted)
                self._step(states.PORT_NOT_SET, now)
            else:
                self._deadline = now + _RETRY_PORT

    # -- sending -------------------------------------------------------------------------------------------------------

    def next_frame(self) -> bytes | None:
        """The body of the next rate frame, or None."""
        return self._trial.pending.pop(0).body() if self._trial.pending else None

    def sent(self, body: bytes, leaves_at: float) -> None:
        """Record the time at which the last byte of a rate frame leaves the line."""
        if self.state == states.ASKING and body[:1] == b"a":
            self._deadline = leaves_at + limits.CLIMB_ANSWER + self.round_trip + self.frame_time

    # -- the state machine ---------------------------------------------------------------------------------------------

    def _step(self, event: str, now: float) -> None:
        """Make the transition of an event. No other code changes the state."""
        transition = states.TRANSITIONS.get((self.state, event))
        if transition is None:
            return
        before, (self.state, action) = self.state, transition
        if self.state != before:
            self._deadline = self._repeat_at = self._tests_by = None
        _ACTIONS[action](self, now)

    def _say_ask(self, now: float) -> None:
        self._asks += 1
        self._trial.ask(rate_set(self._candidates.rates))

    def _say_yes(self, now: float) -> None:
        self._trial.queue("y", rate_set(self._candidates.rates))
        self._set_port(now)

    def _say_no(self, now: float) -> None:
        self._trial.queue("n", rate_set(self._candidates.rates) if self._able else 0)

    def _settle_yes(self, now: float) -> None:
        self._settle(now)
        self._say_yes(now)

    def _settle_no(self, now: float) -> None:
        self._settle(now)
        self._say_no(now)

    def _set_port(self, now: float) -> None:
        self._asks = 0
        self.wanted = self._trial.rate

    def _note_refusal(self, now: float) -> None:
        self._asks = 0
        self._candidates.refused(self._trial.rate, now)
        self._plan(now)

    def _ask_later(self, now: float) -> None:
        down = self._trial.rate < self.baud
        if down and self._asks < limits.CLIMB_ASKS:
            self._step(states.TIME_TO_ASK, now)  # ask again immediately, because few frames arrive
        elif down:
            self._asks = 0
            self.peer_lost = True
        else:
            if self._asks >= limits.CLIMB_ASKS:
                self._asks = 0
                self._candidates.suspect(self._trial.rate, now)
            self._due, self._away, self.poll = None, True, True  # a poll shows whether there is still a peer

    def _say_here(self, now: float) -> None:
        self._trial.begin_tests()
        self._repeat_at = now + limits.RATE_SETTLE
        self._deadline = now + limits.CLIMB_MEET + self.round_trip

    def _send_tests(self, now: float) -> None:
        duration = self._trial.queue_tests()
        self._tests_by = now + duration + limits.CLIMB_HERE + limits.CLIMB_TESTS_LATE + self.round_trip
        self._deadline = now + duration + limits.CLIMB_VERDICT + 2 * self.round_trip

    def _report(self, now: float) -> None:
        """Evaluate the tests if this end is the leader; otherwise report them to the leader."""
        self._deadline = now + limits.CLIMB_VERDICT + self.round_trip
        if self._leads:
            self._evaluate(now)
            return
        self._trial.queue_report()

    def _evaluate(self, now: float) -> None:
        if self._leads and self._trial.reported is not None:
            passed = self._trial.passed(faster=self._trial.rate > self.standing)
            self._step(states.ENOUGH if passed else states.TOO_FEW, now)

    def _say_keep(self, now: float) -> None:
        self._trial.queue("k")
        self._repeat_at = now + limits.CLIMB_HERE
        self._deadline = now + limits.CLIMB_KEEP + self.round_trip

    def _answer_keep(self, now: float) -> None:
        self._trial.queue("k")

    def _answer_and_wait(self, now: float) -> None:
        self._trial.queue("k")
        self._await_ordinary_frame(now)

    def _wait_for_proof(self, now: float) -> None:
        self._trial.drop_all_but_keep()
        self._await_ordinary_frame(now)

    def _await_ordinary_frame(self, now: float) -> None:
        self._deadline = now + limits.CLIMB_PROVE + 2 * self.round_trip
        self.poll = True

    def _say_back(self, now: float) -> None:
        self._trial.queue_back()
        self.wanted = self.standing

    def _go_back(self, now: float) -> None:
        self._trial.pending.clear()
        self.wanted = self.standing

    def _settle(self, now: float) -> None:
        self._trial.drop_all_but_keep()
        self.poll = True
        self.standing, self._stands_since = self.baud, now
        self._monitor.begin(now)
        self._plan(now)

    def _resume(self, now: float) -> None:
        if self._leads and self._trial.rate != self.baud and self._trial.rate > self.standing:
            self._candidates.suspect(self._trial.rate, now)
        self.standing = self.baud
        self.poll = self._away = True
        self._due = None

    def _fall_back(self, now: float) -> None:
        self._trial.pending.clear()
        self._monitor.same_rate()
        self.standing = self.base
        self.wanted = self.base

    def _stay(self, now: float) -> None:
        self.wanted = None
        self.standing = self.baud
        self._plan(now)


_ACTIONS = {
    states.SAY_ASK: AutobaudController._say_ask,
    states.SAY_YES: AutobaudController._say_yes,
    states.SAY_NO: AutobaudController._say_no,
    states.SETTLE_YES: AutobaudController._settle_yes,
    states.SETTLE_NO: AutobaudController._settle_no,
    states.SET_PORT: AutobaudController._set_port,
    states.NOTE_REFUSAL: AutobaudController._note_refusal,
    states.ASK_LATER: AutobaudController._ask_later,
    states.SAY_HERE: AutobaudController._say_here,
    states.SEND_TESTS: AutobaudController._send_tests,
    states.REPORT: AutobaudController._report,
    states.SAY_KEEP: AutobaudController._say_keep,
    states.ANSWER_KEEP: AutobaudController._answer_keep,
    states.ANSWER_AND_WAIT: AutobaudController._answer_and_wait,
    states.WAIT_FOR_PROOF: AutobaudController._wait_for_proof,
    states.SAY_BACK: AutobaudController._say_back,
    states.GO_BACK: AutobaudController._go_back,
    states.SETTLE: AutobaudController._settle,
    states.RESUME: AutobaudController._resume,
    states.FALL_BACK: AutobaudController._fall_back,
    states.STAY: AutobaudController._stay,
}
