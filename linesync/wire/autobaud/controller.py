"""How two ends agree on a faster rate of their line, try it, and never lose each other over it.

The end that leads (the caller) asks, at the rate that stands, for the next faster one that both ports take. The other
says yes as the last thing at this rate; both change and look for each other at the new one, each sends a volley of test
frames and counts the other's. If enough came both ways they keep the rate, else they go back.

What holds them together is no agreement, which no finite number of frames could make sure of, but three rules that each
end keeps by itself:

1. A rate on trial is left for the one that stood before unless it is kept in time; and one that was kept, too, unless
   an ordinary frame comes at it soon.
2. At any rate but the one a line begins at, an end that gets bytes which are no text and no frame, or no answer at all,
   goes back to the beginning.
3. At the rate the line begins at an end stays for as long as it hears nothing.

So two ends at different rates meet at the first one. :mod:`linesync.wire.autobaud.states` is the table of what may happen.
"""

from __future__ import annotations

from ... import limits
from . import states
from .candidates import CandidateRates
from .rate_frames import RateFrame, rate_set, read_rate_set
from .rate_monitor import RateMonitor
from .trial import RateTrial

__all__ = ["AutobaudController"]

_STUCK_WAIT = 1.0  # seconds before a port that could not be set back is set again


class AutobaudController:
    """One end's part, for one line. Times are monotonic seconds.

    :param base: bits a second at which the line begins.
    :param rates: those its port can be set to.
    """

    def __init__(self, *, base: int, rates: tuple[int, ...]) -> None:
        self.base = base
        self.baud = base
        """What the port is set to, bits a second."""
        self.standing = base
        """The rate that a try comes back to."""
        self.state = states.RESTING
        self.round_trip = 0.1
        """Seconds, as the link last measured it."""
        self.frame_time = 0.0
        """How long the longest frame that may be under way takes, seconds."""
        self.wanted: int | None = None
        """The rate that the port is to be set to as soon as nothing is left to send."""
        self.requested: int | None = None
        """The rate that somebody is setting the port to; :meth:`changed` follows."""
        self.poll = False
        """The link is to poll: a sign of life is wanted."""
        self.peer_lost = False
        """The peer is lost at this rate; the link is to call for it."""
        self._candidates = CandidateRates(base, rates)
        self._trial = RateTrial(base)
        self._leads = self._able = self._away = False
        self._due: float | None = None  # when to ask, at the earliest
        self._deadline: float | None = None
        self._again: float | None = None  # when to say it again
        self._tests_by: float | None = None  # by when all of its tests should have come
        self._asks = 0  # unanswered, on end
        self._stands_since = 0.0
        self._monitor = RateMonitor()

    @property
    def silent(self) -> bool:
        """Nothing may be sent but what :meth:`next_frame` gives."""
        return self.state in states.SILENT_STATES

    @property
    def on_trial(self) -> bool:
        """At a rate where the peer was not heard yet, or is not any more: what comes there may be garbage."""
        return self.state in (states.MEETING, states.RETURNING) or (
            self.state == states.FALLING and self.baud != self.base
        )

    @property
    def has_frame(self) -> bool:
        return bool(self._trial.pending)

    # -- the session --------------------------------------------------------------------------------------------------

    def session_up(self, *, leads: bool, able: bool, now: float) -> None:
        """A session begins.

        :param leads: this end asks.
        :param able: the other announces that it climbs.
        """
        self._leads, self._able, self._away = leads, able, False
        self._candidates.begin()
        self._asks = 0
        self._trial.pending.clear()
        if self.state in states.TRIAL_STATES or self.state in (states.CHANGING, states.PROVING):
            self._step(states.LOST, now)
        elif self.state == states.ASKING:
            self._rest()
        self._plan(now, limits.CLIMB_START)

    def lost(self, now: float) -> None:
        """The line went quiet, or its session is over: back to the first rate."""
        if self.state == states.RESTING and self.baud != self.base:
            if now - self._stands_since > limits.CLIMB_STEADY:
                self._candidates.forgive(self.baud)
            self._candidates.blame(self.baud, now)
        self._due, self._away = None, True
        self._trial.pending.clear()
        self._step(states.LOST, now)

    def _plan(self, now: float, wait: float = 0.0) -> None:
        """See when to ask for the next rate."""
        rate = self._candidates.above(self.standing)
        if rate is None or self._away or not (self._leads and self._able):
            self._due = None
        else:
            self._due = max(now + wait, self._candidates.not_before(rate))

    # -- what comes ---------------------------------------------------------------------------------------------------

    def heard(self, now: float) -> None:
        """A frame of the session came that is no rate frame."""
        self._monitor.sure()
        if self._away:
            self._back(now)
        self._step(states.ORDINARY, now)

    def _back(self, now: float) -> None:
        """The peer is heard again."""
        self._away = False
        self._candidates.heard_again(now)
        self._plan(now, limits.CLIMB_START)

    def bytes_outside_frames(self, strange: int, now: float) -> None:
        """Bytes came that end no frame.

        :param strange: how many of them are no text.
        """
        if self.baud == self.base or self.state not in (states.RESTING, states.PROVING):
            return
        self._monitor.bytes_outside_frames(strange, now)

    def count_damage(self, frames: int, damaged: int, now: float) -> None:
        """So many frames came since the last call, and so many pieces that should have been some."""
        if self.baud == self.base or self.state != states.RESTING:
            return
        if self._monitor.count_damage(frames, damaged, now):
            self._worse(now)

    def _worse(self, now: float) -> None:
        """Too much is damaged at this rate."""
        if not self._leads:
            self._trial.queue_worse(self.baud)
            return
        self._candidates.failed(self.baud, now)
        self._trial.rate = self._candidates.below(self.baud)
        self._asks = 0
        self._step(states.DUE, now)

    def receive(self, body: bytes, now: float) -> None:
        """Take a rate frame's body."""
        frame = RateFrame.read(body)
        self._monitor.sure()
        if frame is None:
            return
        if frame.step == "a" and not self._leads:
            self._asked(frame, now)
        elif frame.step == "w":
            if self._leads and self.state == states.RESTING and frame.rate == self.baud:
                self._worse(now)
        elif self._trial.owns(frame):
            self._answered(frame, now)

    def _asked(self, frame: RateFrame, now: float) -> None:
        takes = frame.rate in self._candidates.rates and self._able
        if self.state == states.PROVING:
            self._step(states.ORDINARY, now)
        if self.state == states.RESTING:
            self._trial.join(frame)
            self._step(states.ASKED if takes else states.TOO_FAST, now)

    def _answered(self, frame: RateFrame, now: float) -> None:
        """A frame of the try under way."""
        step = frame.step
        if step in ("y", "n"):
            self._candidates.peer_takes(read_rate_set(frame.value))
            self._step(states.YES if step == "y" else states.NO, now)
            return
        if step in ("h", "t") and self.state == states.MEETING:
            self._step(states.MET, now)
        if step == "t" and self.state == states.TESTING:
            self._trial.received += 1
            if frame.value == 0:
                self._step(states.TESTED, now)
        elif step == "r":
            self._trial.reported = frame.value
            if self.state == states.JUDGING:
                self._judge(now)
        elif step == "k":
            if self.state == states.KEEPING if self._leads else self.baud == frame.rate:
                self._step(states.KEEP, now)
        elif step == "b":
            self._step(states.BACK, now)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        times = [self._deadline, self._again, self._tests_by if self.state == states.TESTING else None]
        if self.state == states.RESTING:
            times.append(self._due)
        times.append(self._monitor.next_timer(self.round_trip))
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        ask, lost = self._monitor.handle_timer(self.round_trip, now)
        self.poll = self.poll or ask
        if lost:
            self.peer_lost = True
            return
        if self._due is not None and self.state == states.RESTING and now >= self._due:
            self._due = None
            rate = self._candidates.above(self.standing)
            if rate is not None:
                self._trial.rate = rate
                self._step(states.DUE, now)
        if self._tests_by is not None and self.state == states.TESTING and now >= self._tests_by:
            self._step(states.TESTED, now)
        if self._again is not None and now >= self._again:
            self._again = now + limits.CLIMB_HERE
            self._trial.queue("k" if self.state == states.KEEPING else "h")
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._step(states.LATE, now)

    # -- the port -----------------------------------------------------------------------------------------------------

    def changed(self, baud: int, now: float) -> None:
        """The port is set; to another rate than was wanted if it did not take that."""
        requested, self.requested, self.baud = self.requested, None, baud
        wanted = self.wanted
        if wanted is None or baud == wanted:
            self.wanted = None
            self._step(states.CHANGED, now)
        elif requested == wanted:  # the port refused
            self.wanted = None
            if self.state == states.CHANGING and baud == self.standing:
                self._candidates.remove(wanted)
                self._step(states.STUCK, now)
            else:
                self._deadline = now + _STUCK_WAIT  # then it is tried again

    # -- what to send -------------------------------------------------------------------------------------------------

    def next_frame(self) -> bytes | None:
        """The body of the next rate frame."""
        return self._trial.pending.pop(0).body() if self._trial.pending else None

    def sent(self, body: bytes, leaves_at: float) -> None:
        """The last byte of a rate frame leaves at this time."""
        if self.state == states.ASKING and body[:1] == b"a":
            self._deadline = leaves_at + limits.CLIMB_ANSWER + self.round_trip + self.frame_time

    # -- the table ----------------------------------------------------------------------------------------------------

    def _step(self, what: str, now: float) -> None:
        if self.state in (states.RETURNING, states.FALLING) and what == states.LATE:  # the port was not set back
            self.wanted = self.standing if self.state == states.RETURNING else self.base
            return
        state, action = states.TRANSITIONS.get((self.state, what), ("", ""))
        if not state:
            return
        if what == states.LOST and self.baud == self.base and self.state != states.CHANGING:
            state, action = states.RESTING, states.FAIL
        before, self.state = self.state, state
        if state != before:
            self._deadline = self._again = None
        _ACTIONS[action](self, now)

    def _do_ask(self, now: float) -> None:
        self._asks += 1
        self._trial.ask(rate_set(self._candidates.rates))

    def _do_yes(self, now: float) -> None:
        self._trial.queue("y", rate_set(self._candidates.rates))
        self._do_change(now)

    def _do_no(self, now: float) -> None:
        self._trial.queue("n", rate_set(self._candidates.rates) if self._able else 0)

    def _do_change(self, now: float) -> None:
        self._asks = 0
        self.wanted = self._trial.rate

    def _do_refused(self, now: float) -> None:
        self._asks = 0
        self._candidates.refused(self._trial.rate, now)
        self._rest()
        self._plan(now)

    def _do_unanswered(self, now: float) -> None:
        self._rest()
        down = self._trial.rate < self.baud
        if down and self._asks < limits.CLIMB_ASKS:
            self._step(states.DUE, now)  # each frame that gets through counts
        elif down:
            self._asks = 0
            self.peer_lost = True
        else:
            if self._asks >= limits.CLIMB_ASKS:
                self._asks = 0
                self._candidates.blame(self._trial.rate, now)
            self._due, self._away, self.poll = None, True, True  # is anybody there?

    def _do_here(self, now: float) -> None:
        self._trial.begin_tests()
        self._tests_by = None
        self._again = now + limits.RATE_SETTLE
        self._deadline = now + limits.CLIMB_MEET + self.round_trip

    def _do_tests(self, now: float) -> None:
        volley = self._trial.queue_tests()
        self._tests_by = now + volley + limits.CLIMB_HERE + limits.CLIMB_TESTS_LATE + self.round_trip
        self._deadline = now + volley + limits.CLIMB_VERDICT + 2 * self.round_trip

    def _do_report(self, now: float) -> None:
        self._deadline = now + limits.CLIMB_VERDICT + self.round_trip
        if self._leads:
            self._judge(now)
            return
        self._trial.queue_report()

    def _judge(self, now: float) -> None:
        if self._leads and self._trial.reported is not None:
            self._step(states.GOOD if self._trial.passed(climbs=self._trial.rate > self.standing) else states.BAD, now)

    def _do_keep(self, now: float) -> None:
        self._trial.queue("k")
        self._again = now + limits.CLIMB_HERE
        self._deadline = now + limits.CLIMB_KEEP + self.round_trip

    def _do_kept(self, now: float) -> None:
        self._trial.queue("k")
        if self.state == states.PROVING and self._deadline is None:
            self._deadline = now + limits.CLIMB_PROVE + 2 * self.round_trip
            self.poll = True

    def _do_back(self, now: float) -> None:
        self._trial.queue_back()
        self.wanted = self.standing

    def _do_return(self, now: float) -> None:
        self._trial.pending.clear()
        self.wanted = self.standing

    def _do_settle(self, now: float) -> None:
        """Kept: for good once an ordinary frame has come."""
        self._trial.drop_all_but_keep()
        self.poll = True
        if self.state == states.PROVING:
            self._deadline = now + limits.CLIMB_PROVE + 2 * self.round_trip
            return
        self.standing, self._stands_since = self.baud, now
        self._monitor.begin(now)
        self._plan(now)

    def _do_resume(self, now: float) -> None:
        if self._leads and self._trial.rate != self.baud and self._trial.rate > self.standing:
            self._candidates.blame(self._trial.rate, now)
        self.standing = self.baud
        self.poll = self._away = True
        self._due = None
        self._rest()

    def _do_fall(self, now: float) -> None:
        self._trial.pending.clear()
        self._monitor.sure()
        self.standing = self.base
        self.wanted = self.base

    def _do_stay(self, now: float) -> None:
        self.wanted = None
        self.standing = self.baud
        self._rest()
        self._plan(now)

    def _rest(self) -> None:
        self.state = states.RESTING
        self._deadline = self._again = self._tests_by = None


_ACTIONS = {
    states.SAY_ASK: AutobaudController._do_ask,
    states.SAY_YES: AutobaudController._do_yes,
    states.SAY_NO: AutobaudController._do_no,
    states.CHANGE: AutobaudController._do_change,
    states.REFUSED: AutobaudController._do_refused,
    states.UNANSWERED: AutobaudController._do_unanswered,
    states.SAY_HERE: AutobaudController._do_here,
    states.SAY_TESTS: AutobaudController._do_tests,
    states.REPORT: AutobaudController._do_report,
    states.SAY_KEEP: AutobaudController._do_keep,
    states.SAY_KEPT: AutobaudController._do_kept,
    states.SAY_BACK: AutobaudController._do_back,
    states.GO_BACK: AutobaudController._do_return,
    states.SETTLE: AutobaudController._do_settle,
    states.RESUME: AutobaudController._do_resume,
    states.FALL: AutobaudController._do_fall,
    states.FAIL: AutobaudController._do_stay,
}
