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

So two ends at different rates meet at the first one. ``TRANSITIONS`` is the whole of what may happen; what is not in
the table changes nothing.
"""

from __future__ import annotations

from .. import limits
from .rates import RateFrame, Watch, rate_set, read_rate_set

__all__ = ["TRANSITIONS", "Climbing"]

# states
RESTING, ASKING, CHANGING, MEETING, TESTING = "resting", "asking", "changing", "meeting", "testing"
JUDGING, KEEPING, PROVING, RETURNING, FALLING = "judging", "keeping", "proving", "returning", "falling"
# what came
DUE, LATE, CHANGED, STUCK = "time to climb", "too late", "the port is set", "the port is not set"
ASKED, TOO_FAST = "asked for a rate we take", "asked for a rate we do not take"
YES, NO, MET = "yes", "no", "heard at the new rate"
TESTED, GOOD, BAD = "all tests came or should have", "enough tests came both ways", "too few tests came"
KEEP, BACK, ORDINARY, LOST = "keep", "back", "an ordinary frame", "the peer is lost"
# what to do
SAY_ASK, SAY_YES, SAY_NO, CHANGE, REFUSED, UNANSWERED = (
    "ask",
    "say yes, change",
    "say no",
    "change",
    "note what the peer takes",
    "ask again later",
)
SAY_HERE, SAY_TESTS, REPORT, SAY_KEEP, SAY_KEPT = (
    "say here, again and again",
    "send the tests",
    "report what came",
    "say keep, until it is said back",
    "say keep back",
)
SAY_BACK, GO_BACK, SETTLE, RESUME, FALL, FAIL = (
    "say back, return",
    "return",
    "the rate stands",
    "go on at the earlier rate",
    "return to the first rate",
    "stay",
)

TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (RESTING, DUE): (ASKING, SAY_ASK),
    (RESTING, ASKED): (CHANGING, SAY_YES),
    (RESTING, TOO_FAST): (RESTING, SAY_NO),
    (RESTING, KEEP): (RESTING, SAY_KEPT),
    (RESTING, LOST): (FALLING, FALL),
    (ASKING, YES): (CHANGING, CHANGE),
    (ASKING, NO): (RESTING, REFUSED),
    (ASKING, LATE): (RESTING, UNANSWERED),
    (ASKING, LOST): (FALLING, FALL),
    (CHANGING, CHANGED): (MEETING, SAY_HERE),
    (CHANGING, STUCK): (RESTING, FAIL),
    (CHANGING, LOST): (FALLING, FALL),
    (MEETING, MET): (TESTING, SAY_TESTS),
    (MEETING, LATE): (RETURNING, GO_BACK),
    (MEETING, BACK): (RETURNING, GO_BACK),
    (MEETING, LOST): (FALLING, FALL),
    (TESTING, TESTED): (JUDGING, REPORT),
    (TESTING, LATE): (RETURNING, GO_BACK),
    (TESTING, BACK): (RETURNING, GO_BACK),
    (TESTING, LOST): (FALLING, FALL),
    (JUDGING, GOOD): (KEEPING, SAY_KEEP),
    (JUDGING, BAD): (RETURNING, SAY_BACK),
    (JUDGING, KEEP): (PROVING, SAY_KEPT),
    (JUDGING, LATE): (RETURNING, GO_BACK),
    (JUDGING, BACK): (RETURNING, GO_BACK),
    (JUDGING, LOST): (FALLING, FALL),
    (KEEPING, KEEP): (PROVING, SETTLE),
    (KEEPING, ORDINARY): (RESTING, SETTLE),
    (KEEPING, LATE): (RETURNING, GO_BACK),
    (KEEPING, LOST): (FALLING, FALL),
    (PROVING, ORDINARY): (RESTING, SETTLE),
    (PROVING, ASKED): (CHANGING, SAY_YES),
    (PROVING, TOO_FAST): (RESTING, SAY_NO),
    (PROVING, KEEP): (PROVING, SAY_KEPT),
    (PROVING, LATE): (RETURNING, GO_BACK),
    (PROVING, LOST): (FALLING, FALL),
    (RETURNING, CHANGED): (RESTING, RESUME),
    (RETURNING, LOST): (FALLING, FALL),
    (FALLING, CHANGED): (RESTING, RESUME),
}
"""(state, what came) to (next state, what to do)."""

_HUSHED = frozenset((ASKING, CHANGING, MEETING, TESTING, JUDGING, KEEPING, RETURNING, FALLING))
_TRYING = frozenset((MEETING, TESTING, JUDGING, KEEPING))
_REPORTS = 3  # copies of a report: it is said once
_BACKS = 2
_STUCK_WAIT = 1.0  # seconds before a port that could not be set back is set again


class Climbing:
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
        self.state = RESTING
        self.round_trip = 0.1
        """Seconds, as the link last measured it."""
        self.frame_time = 0.0
        """How long the longest frame that may be under way takes, seconds."""
        self.wanted: int | None = None
        """The rate that the port is to be set to as soon as nothing is left to send."""
        self.given: int | None = None
        """The rate that somebody is setting the port to; :meth:`changed` follows."""
        self.poll = False
        """The link is to poll: a sign of life is wanted."""
        self.fell = False
        """The peer is lost at this rate; the link is to call for it."""
        self._rates = frozenset((base, *rates))
        self._queue: list[RateFrame] = []
        self._leads = self._able = self._away = False
        self._peer: frozenset[int] | None = None  # what its port takes, once it has said so
        self._number = 0
        self._target = base
        self._due: float | None = None  # when to ask, at the earliest
        self._deadline: float | None = None
        self._again: float | None = None  # when to say it again
        self._tests_by: float | None = None  # by when all of its tests should have come
        self._count = 0  # tests that came
        self._reported: int | None = None  # tests of ours that came
        self._asks = 0  # unanswered, on end
        self._fails: dict[int, tuple[int, float]] = {}  # rate: (how often, not before)
        self._stands_since = 0.0
        self._blame: tuple[int, float] | None = None  # the rate that failed last, and when
        self._watch = Watch()

    @property
    def hushed(self) -> bool:
        """Nothing may be sent but what :meth:`next_frame` gives."""
        return self.state in _HUSHED

    @property
    def changing(self) -> bool:
        """The port is about to be set to another rate."""
        return self.state in (CHANGING, RETURNING, FALLING)

    @property
    def on_trial(self) -> bool:
        """At a rate where the peer was not heard yet, or is not any more: what comes there may be garbage."""
        return self.state in (MEETING, RETURNING) or (self.state == FALLING and self.baud != self.base)

    @property
    def has_frame(self) -> bool:
        return bool(self._queue)

    # -- the session --------------------------------------------------------------------------------------------------

    def session_up(self, *, leads: bool, able: bool, now: float) -> None:
        """A session begins.

        :param leads: this end asks.
        :param able: the other announces that it climbs.
        """
        self._leads, self._able, self._peer, self._away = leads, able, None, False
        self._fails.clear()
        self._asks = 0
        self._queue.clear()
        if self.state in _TRYING or self.state in (CHANGING, PROVING):
            self._step(LOST, now)
        elif self.state == ASKING:
            self._rest()
        self._plan(now, limits.CLIMB_START)

    def lost(self, now: float) -> None:
        """The line went quiet, or its session is over: back to the first rate."""
        if self.state == RESTING and self.baud != self.base:
            if now - self._stands_since > limits.CLIMB_STEADY:
                self._fails.pop(self.baud, None)
            self._blame = self.baud, now
        self._due, self._away = None, True
        self._queue.clear()
        self._step(LOST, now)

    def _plan(self, now: float, wait: float = 0.0) -> None:
        """See when to ask for the next rate."""
        rate = self._next_rate()
        if rate is None or self._away or not (self._leads and self._able):
            self._due = None
        else:
            self._due = max(now + wait, self._fails.get(rate, (0, now))[1])

    def _next_rate(self) -> int | None:
        both = self._rates if self._peer is None else self._rates & self._peer
        return min((rate for rate in both if rate > self.standing), default=None)

    def _penalize(self, rate: int, now: float) -> None:
        """This rate failed: each time it is left alone for longer."""
        times = self._fails.get(rate, (0, now))[0] + 1
        wait = min(limits.CLIMB_AGAIN * 10.0 ** (times - 1), limits.CLIMB_AGAIN_MOST)
        self._fails[rate] = times, now + wait

    # -- what comes ---------------------------------------------------------------------------------------------------

    def heard(self, now: float) -> None:
        """A frame of the session came that is no rate frame."""
        self._watch.sure()
        if self._away:
            self._back(now)
        self._step(ORDINARY, now)

    def _back(self, now: float) -> None:
        """The peer is heard again. What failed a moment ago failed because of its rate; what failed longer ago, because
        nothing came through at any."""
        self._away = False
        if self._blame is not None and now - self._blame[1] < limits.CLIMB_BLAME:
            self._penalize(self._blame[0], now)
        self._blame = None
        self._plan(now, limits.CLIMB_START)

    def beside(self, strange: int, now: float) -> None:
        """Bytes came that end no frame.

        :param strange: how many of them are no text.
        """
        if self.baud == self.base or self.state not in (RESTING, PROVING):
            return
        self._watch.beside(strange, now)

    def counted(self, frames: int, damaged: int, now: float) -> None:
        """So many frames came since the last call, and so many pieces that should have been some."""
        if self.baud == self.base or self.state != RESTING:
            return
        if self._watch.counted(frames, damaged, now):
            self._worse(now)

    def _worse(self, now: float) -> None:
        """Too much is damaged at this rate."""
        if not self._leads:
            self._queue.append(RateFrame(step="w", number=0, rate=self.baud))
            return
        self._penalize(self.baud, now)
        both = self._rates if self._peer is None else self._rates & (self._peer | {self.base})
        self._target = max((rate for rate in both if rate < self.baud), default=self.base)
        self._asks = 0
        self._step(DUE, now)

    def receive(self, body: bytes, now: float) -> None:
        """Take a rate frame's body."""
        frame = RateFrame.read(body)
        self._watch.sure()
        if frame is None:
            return
        if frame.step == "a" and not self._leads:
            self._asked(frame, now)
        elif frame.step == "w":
            if self._leads and self.state == RESTING and frame.rate == self.baud:
                self._worse(now)
        elif frame.number == self._number and frame.rate == self._target:
            self._answered(frame, now)

    def _asked(self, frame: RateFrame, now: float) -> None:
        takes = frame.rate in self._rates and self._able
        if self.state == PROVING:
            self._step(ORDINARY, now)
        if self.state == RESTING:
            self._number, self._target = frame.number, frame.rate
            self._step(ASKED if takes else TOO_FAST, now)

    def _answered(self, frame: RateFrame, now: float) -> None:
        """A frame of the try under way."""
        step = frame.step
        if step in ("y", "n"):
            self._peer = read_rate_set(frame.value) | {self.base}
            self._step(YES if step == "y" else NO, now)
            return
        if step in ("h", "t") and self.state == MEETING:
            self._step(MET, now)
        if step == "t" and self.state == TESTING:
            self._count += 1
            if frame.value == 0:
                self._step(TESTED, now)
        elif step == "r":
            self._reported = frame.value
            if self.state == JUDGING:
                self._judge(now)
        elif step == "k":
            if self.state == KEEPING if self._leads else self.baud == frame.rate:
                self._step(KEEP, now)
        elif step == "b":
            self._step(BACK, now)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        times = [self._deadline, self._again, self._tests_by if self.state == TESTING else None]
        if self.state == RESTING:
            times.append(self._due)
        times.append(self._watch.next_timer(self.round_trip))
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        ask, lost = self._watch.handle_timer(self.round_trip, now)
        self.poll = self.poll or ask
        if lost:
            self.fell = True
            return
        if self._due is not None and self.state == RESTING and now >= self._due:
            self._due = None
            rate = self._next_rate()
            if rate is not None:
                self._target = rate
                self._step(DUE, now)
        if self._tests_by is not None and self.state == TESTING and now >= self._tests_by:
            self._step(TESTED, now)
        if self._again is not None and now >= self._again:
            self._again = now + limits.CLIMB_HERE
            self._say("k" if self.state == KEEPING else "h")
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._step(LATE, now)

    # -- the port -----------------------------------------------------------------------------------------------------

    def changed(self, baud: int, now: float) -> None:
        """The port is set; to another rate than was wanted if it did not take that."""
        given, self.given, self.baud = self.given, None, baud
        wanted = self.wanted
        if wanted is None or baud == wanted:
            self.wanted = None
            self._step(CHANGED, now)
        elif given == wanted:  # the port refused
            self.wanted = None
            if self.state == CHANGING and baud == self.standing:
                self._rates -= {wanted}
                self._step(STUCK, now)
            else:
                self._deadline = now + _STUCK_WAIT  # then it is tried again

    # -- what to send -------------------------------------------------------------------------------------------------

    def next_frame(self) -> bytes | None:
        """The body of the next rate frame."""
        return self._queue.pop(0).body() if self._queue else None

    def sent(self, body: bytes, leaves_at: float) -> None:
        """The last byte of a rate frame leaves at this time."""
        if self.state == ASKING and body[:1] == b"a":
            self._deadline = leaves_at + limits.CLIMB_ANSWER + self.round_trip + self.frame_time

    def _say(self, step: str, value: int = 0) -> None:
        if not any(frame.step == step != "t" for frame in self._queue):
            self._queue.append(RateFrame(step=step, number=self._number, rate=self._target, value=value))

    # -- the table ----------------------------------------------------------------------------------------------------

    def _step(self, what: str, now: float) -> None:
        if self.state in (RETURNING, FALLING) and what == LATE:  # the port was not set back
            self.wanted = self.standing if self.state == RETURNING else self.base
            return
        state, action = TRANSITIONS.get((self.state, what), ("", ""))
        if not state:
            return
        if what == LOST and self.baud == self.base and self.state != CHANGING:
            state, action = RESTING, FAIL
        before, self.state = self.state, state
        if state != before:
            self._deadline = self._again = None
        _ACTIONS[action](self, now)

    def _do_ask(self, now: float) -> None:
        self._number = self._number % 31 + 1
        self._asks += 1
        self._say("a", rate_set(self._rates))

    def _do_yes(self, now: float) -> None:
        self._say("y", rate_set(self._rates))
        self._do_change(now)

    def _do_no(self, now: float) -> None:
        self._say("n", rate_set(self._rates) if self._able else 0)

    def _do_change(self, now: float) -> None:
        self._asks = 0
        self.wanted = self._target

    def _do_refused(self, now: float) -> None:
        self._asks = 0
        if self._peer is not None and self._target in self._peer:
            self._penalize(self._target, now)
        self._rest()
        self._plan(now)

    def _do_unanswered(self, now: float) -> None:
        self._rest()
        down = self._target < self.baud
        if down and self._asks < limits.CLIMB_ASKS:
            self._step(DUE, now)  # each frame that gets through counts
        elif down:
            self._asks = 0
            self.fell = True
        else:
            if self._asks >= limits.CLIMB_ASKS:
                self._asks = 0
                self._blame = self._target, now
            self._due, self._away, self.poll = None, True, True  # is anybody there?

    def _do_here(self, now: float) -> None:
        self._count, self._reported, self._tests_by = 0, None, None
        self._again = now + limits.RATE_SETTLE
        self._deadline = now + limits.CLIMB_MEET + self.round_trip

    def _do_tests(self, now: float) -> None:
        self._queue.clear()
        self._queue += (
            RateFrame(step="t", number=self._number, rate=self._target, value=left)
            for left in reversed(range(limits.CLIMB_TESTS))
        )
        volley = limits.CLIMB_TESTS * limits.CONTROL_FRAME * 10 / self._target
        self._tests_by = now + volley + limits.CLIMB_HERE + limits.CLIMB_TESTS_LATE + self.round_trip
        self._deadline = now + volley + limits.CLIMB_VERDICT + 2 * self.round_trip

    def _do_report(self, now: float) -> None:
        self._deadline = now + limits.CLIMB_VERDICT + self.round_trip
        if self._leads:
            self._judge(now)
            return
        reports = [RateFrame(step="r", number=self._number, rate=self._target, value=self._count)] * _REPORTS
        self._queue += reports

    def _judge(self, now: float) -> None:
        if self._leads and self._reported is not None:
            least = limits.CLIMB_TESTS - limits.CLIMB_LOST if self._target > self.standing else 1
            self._step(GOOD if min(self._count, self._reported) >= least else BAD, now)

    def _do_keep(self, now: float) -> None:
        self._say("k")
        self._again = now + limits.CLIMB_HERE
        self._deadline = now + limits.CLIMB_KEEP + self.round_trip

    def _do_kept(self, now: float) -> None:
        self._say("k")
        if self.state == PROVING and self._deadline is None:
            self._deadline = now + limits.CLIMB_PROVE + 2 * self.round_trip
            self.poll = True

    def _do_back(self, now: float) -> None:
        self._queue.clear()
        self._queue += [RateFrame(step="b", number=self._number, rate=self._target)] * _BACKS
        self.wanted = self.standing

    def _do_return(self, now: float) -> None:
        self._queue.clear()
        self.wanted = self.standing

    def _do_settle(self, now: float) -> None:
        """Kept: for good once an ordinary frame has come."""
        self._queue = [frame for frame in self._queue if frame.step == "k"]
        self.poll = True
        if self.state == PROVING:
            self._deadline = now + limits.CLIMB_PROVE + 2 * self.round_trip
            return
        self.standing, self._stands_since = self.baud, now
        self._watch.begin(now)
        self._plan(now)

    def _do_resume(self, now: float) -> None:
        if self._leads and self._target != self.baud and self._target > self.standing:
            self._blame = self._target, now
        self.standing = self.baud
        self.poll = self._away = True
        self._due = None
        self._rest()

    def _do_fall(self, now: float) -> None:
        self._queue.clear()
        self._watch.sure()
        self.standing = self.base
        self.wanted = self.base

    def _do_stay(self, now: float) -> None:
        self.wanted = None
        self.standing = self.baud
        self._rest()
        self._plan(now)

    def _rest(self) -> None:
        self.state = RESTING
        self._deadline = self._again = self._tests_by = None


_ACTIONS = {
    SAY_ASK: Climbing._do_ask,
    SAY_YES: Climbing._do_yes,
    SAY_NO: Climbing._do_no,
    CHANGE: Climbing._do_change,
    REFUSED: Climbing._do_refused,
    UNANSWERED: Climbing._do_unanswered,
    SAY_HERE: Climbing._do_here,
    SAY_TESTS: Climbing._do_tests,
    REPORT: Climbing._do_report,
    SAY_KEEP: Climbing._do_keep,
    SAY_KEPT: Climbing._do_kept,
    SAY_BACK: Climbing._do_back,
    GO_BACK: Climbing._do_return,
    SETTLE: Climbing._do_settle,
    RESUME: Climbing._do_resume,
    FALL: Climbing._do_fall,
    FAIL: Climbing._do_stay,
}
