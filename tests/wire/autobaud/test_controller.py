"""Two ends change to a faster rate, return together to a slower rate, and never lose each other, on virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from linesync import limits
from linesync.testing.faults import Faults
from linesync.testing.virtual_line import VirtualLine
from linesync.wire.autobaud.controller import AutobaudController
from linesync.wire.autobaud.rate_frames import RateFrame
from linesync.wire.events import RateChanged, SessionUp
from linesync.wire.framing.frames import Lane
from tests.effort import lives

RATES = (230400, 460800, 921600)
TOP = 921600


def autobaud_line(seed: int = 1, **options: object) -> VirtualLine:
    """A line whose ends begin at 115200 bit/s and may change their rate."""
    return VirtualLine(seed, **{"takes": RATES, "local": {"flags": "nma"}, **options})  # type: ignore[arg-type]


def bauds(line: VirtualLine) -> list[float]:
    """Return the rates of the two ports."""
    assert line.rates is not None
    return [line.rates.baud["a"], line.rates.baud["b"]]


def reported_bauds(line: VirtualLine) -> list[int | None]:
    """Return the rates that the two links report."""
    return [end.link.baud for end in line.ends]


def both_at(line: VirtualLine, baud: int) -> Callable[[], bool]:
    return lambda: bauds(line) == reported_bauds(line) == [baud, baud]


def check_stays_at(line: VirtualLine, baud: int, seconds: float, *, within: float) -> None:
    """Check that both ends reach this rate in time and stay there."""
    assert line.run_until(both_at(line, baud), within), line.transcript()
    line.run(seconds)
    assert line.run_until(both_at(line, baud), 1.0), line.transcript()


def check_usable(line: VirtualLine, within: float, word: bytes) -> float:
    """Check that a message passes each way in a common session.

    :returns: the seconds that this takes.
    """
    begin = line.now
    for end, far in (line.ends, line.ends[::-1]):
        while True:
            left = begin + within - line.now
            assert line.run_until(lambda end=end, far=far: same_session(line), left), line.transcript()
            session = end.link.session
            assert session is not None
            session.mux.send_message(0, word)
            came = len(far.messages(0))
            arrived = lambda far=far, came=came: word in far.messages(0)[came:]  # noqa: E731
            lost = lambda end=end, session=session: end.link.session is not session  # noqa: E731
            assert line.run_until(lambda a=arrived, b=lost: a() or b(), begin + within - line.now), line.transcript()
            if arrived():
                break
    return line.now - begin


def same_session(line: VirtualLine) -> bool:
    a, b = line.a.link.session, line.b.link.session
    return a is not None and b is not None and {a.nonce, a.peer.nonce} == {b.nonce, b.peer.nonce} and line.a.up


class Interceptor:
    """Watches the rate frames that are handed to the line. When frame ``number`` passes, it damages that frame, or calls
    ``action`` if there is one."""

    def __init__(self, line: VirtualLine, number: int, action: Callable[[VirtualLine, str], None] | None) -> None:
        self.seen: list[str] = []
        """The end and the step of each rate frame: ``a a`` is a question (``a``) from the caller (end ``a``)."""
        self.matched = ""
        """The frame with the number ``number``, in the same form; empty until it passes."""
        self._line = line
        self._number = number
        self._action = action
        self._feed = line.cable.feed
        line.cable.feed = self.feed  # type: ignore[method-assign]

    def feed(self, end: str, data: bytes, now: float) -> None:
        at = data.find(b"^S")
        while at >= 0:
            at = at + (3 if data[at + 2 : at + 3] < b"g" else 4)
            self.seen.append(f"{end} {data[at : at + 1].decode() or '...'}")
            if len(self.seen) == self._number + 1:
                self.matched = self.seen[-1]
                if self._action is None:
                    data = data[:at] + b"^s" + data[at + 2 :]
                else:
                    self._line.at(now, lambda: self._action(self._line, end))  # type: ignore[misc]
            at = data.find(b"^S", at + 1)
        self._feed(end, data, now)  # type: ignore[arg-type]


def conversation() -> list[str]:
    """Return the rate frames of two rate changes on a line without faults."""
    line = autobaud_line(takes=RATES[:2])
    interceptor = Interceptor(line, 10_000, None)
    assert line.run_until(both_at(line, RATES[1]), 3), line.transcript()
    line.run(1)
    return interceptor.seen


CONVERSATION = conversation()


# -- success -----------------------------------------------------------------------------------------------------------


def test_both_ends_reach_the_fastest_rate_that_both_take() -> None:
    line = autobaud_line(takes=(*RATES, 1500000, 3000000), takes_b=(*RATES, 4000000))
    line.establish()
    check_stays_at(line, TOP, 30, within=1.0)
    assert line.a.text == line.b.text == b"" and not line.a.link.counters.damaged


def test_a_rate_that_one_port_does_not_take_is_skipped() -> None:
    line = autobaud_line(takes=(230400, 460800, 921600), takes_b=(230400, 921600))
    line.establish()
    check_stays_at(line, TOP, 1, within=1.0)
    assert [event.baud for event in line.a.seen(RateChanged)] == [230400, 921600]


def test_an_end_that_does_not_announce_rate_changes_is_not_asked() -> None:
    line = autobaud_line(takes_b=())
    interceptor = Interceptor(line, 10_000, None)
    line.establish()
    line.run(20)
    assert bauds(line) == [115200, 115200] and interceptor.seen == []
    assert "r" in line.a.link.local.flags and "r" not in line.b.link.local.flags


def test_data_sent_during_rate_changes_arrives_complete_and_in_order() -> None:
    line = autobaud_line(3)
    line.establish()
    numbers = [end.link.mux.open(Lane.BULK, b"go") for end in line.ends]
    data = [random.Random(n).randbytes(60_000) for n in (1, 2)]
    for end, number, sent in zip(line.ends, numbers, data, strict=True):
        end.link.mux.send(number, 0, sent)
    assert line.run_until(lambda: len(line.b.data(numbers[0])) + len(line.a.data(numbers[1])) == 120_000, 10)
    assert line.b.data(numbers[0]) == data[0] and line.a.data(numbers[1]) == data[1]
    assert line.now < 4.0, "60,000 bytes take 7 s at 115200"
    assert both_at(line, TOP)() and sum(end.link.session.senders[Lane.BULK].repeated for end in line.ends) <= 2  # type: ignore[union-attr]


def test_data_flows_faster_at_a_faster_rate() -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    number, begin = line.a.link.mux.open(Lane.BULK, b"go"), line.now
    line.run(1.0)  # frames grow
    begin = line.now
    line.a.link.mux.send(number, 0, random.Random(1).randbytes(300_000))
    assert line.run_until(lambda: len(line.b.data(number)) == 300_000, 20)
    assert 300_000 / (line.now - begin) > 0.7 * TOP / 10 * 0.75, "base64 at 921600"


def test_a_port_that_refuses_an_announced_rate_keeps_its_rate() -> None:
    line = autobaud_line()
    line.b.takes = (230400, 460800)  # it announced more when it was opened
    line.establish()
    check_stays_at(line, 460800, 5, within=3)
    check_usable(line, 1, b"still here")


# -- failure -----------------------------------------------------------------------------------------------------------


def periods_at(line: VirtualLine, baud: int) -> list[tuple[float, float]]:
    """Return (begin, end) of each period in which at least one port had this rate, within 40 s."""
    found: list[tuple[float, float]] = []
    begin: float | None = None
    while line.now < 40:
        at_rate = baud in bauds(line)
        if at_rate and begin is None:
            begin = line.now
        elif not at_rate and begin is not None:
            found.append((begin, line.now))
            begin = None
        line.run(0.005)
    return found


def test_a_rate_that_the_line_does_not_carry_is_given_up_within_a_second() -> None:
    line = autobaud_line(most_baud=230400)
    line.establish()
    found = periods_at(line, 460800)
    assert both_at(line, 230400)()
    assert 1 <= len(found) <= 3, "the wait does not grow tenfold with each failure"
    assert all(end - begin < 1.0 for begin, end in found), found
    check_usable(line, 0.5, b"fine")


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_loses_half_of_its_frames_is_given_up_within_a_second(seed: int) -> None:
    line = autobaud_line(seed, noisy={500000: 7e-4})
    line.establish()
    found = periods_at(line, 921600)
    assert both_at(line, 460800)(), line.transcript()
    assert found and all(end - begin < 1.0 for begin, end in found), found


def test_a_few_errors_do_not_prevent_a_faster_rate() -> None:
    line = autobaud_line(faults=Faults(ber=1e-5))
    line.establish()
    check_stays_at(line, TOP, 20, within=3)


def test_both_ends_go_to_a_slower_rate_when_damage_becomes_much_worse() -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    number = line.a.link.mux.open(Lane.BULK, b"go")
    assert line.rates is not None
    line.rates.set_noise({500000: 1.5e-3}, line.now)
    for second in range(40):
        line.at(line.now + second / 10, lambda: line.a.link.session and line.a.link.mux.send(number, 0, bytes(6000)))
    assert line.run_until(lambda: max(bauds(line)) < TOP, 8), line.transcript()
    assert line.run_until(lambda: both_at(line, 460800)() or both_at(line, 115200)(), 2), line.transcript()
    check_usable(line, 2, b"better")


# -- recovery ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(CONVERSATION)), ids=lambda n: f"{n} {CONVERSATION[n]}")
def test_any_rate_frame_may_be_lost(number: int) -> None:
    line = autobaud_line(number)
    interceptor = Interceptor(line, number, None)
    line.establish()
    line.run_until(lambda: bool(interceptor.matched), 5)
    assert interceptor.matched
    check_usable(line, 1.5, b"lost one")
    check_stays_at(line, TOP, 1, within=5)
    check_usable(line, 0.5, b"on top")
    assert len(line.a.seen(SessionUp)) == 1, "the session was replaced"


@pytest.mark.parametrize("seconds", [0.15, 1.2, 12.0])
@pytest.mark.parametrize("number", range(0, len(CONVERSATION), 4), ids=lambda n: f"{n} {CONVERSATION[n]}")
def test_the_line_may_be_cut_at_any_step(number: int, seconds: float) -> None:
    line = autobaud_line(number)

    def cut(line: VirtualLine, _: str) -> None:
        line.cable.pull(line.now)
        line.at(line.now + seconds, lambda: line.cable.plug(line.now))

    interceptor = Interceptor(line, number, cut)
    line.establish()
    line.run_until(lambda: bool(interceptor.matched), 5)
    line.run(seconds + 0.001)
    check_usable(line, 2.5, b"back")
    check_stays_at(line, TOP, 1, within=30)
    assert len(line.a.seen(SessionUp)) == 1


@pytest.mark.parametrize("pause", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("who", ["a", "b"])
@pytest.mark.parametrize("number", range(0, len(CONVERSATION), 5), ids=lambda n: f"{n} {CONVERSATION[n]}")
def test_either_end_may_restart_at_any_step(number: int, who: str, pause: float) -> None:
    line = autobaud_line(number)
    again: list[float] = []

    def kill(line: VirtualLine, _: str) -> None:
        end = line.a if who == "a" else line.b
        end.line_down()  # its port keeps its rate
        line.at(line.now + pause, lambda: (end.restart(), again.append(line.now)))

    interceptor = Interceptor(line, number, kill)
    line.establish()
    assert line.run_until(lambda: bool(again), 8), interceptor.seen
    check_usable(line, 4.0 if who == "a" else 10.5, b"again")
    check_stays_at(line, TOP, 1, within=30)


@pytest.mark.parametrize("who", ["a", "b"])
def test_a_restarted_end_reaches_a_peer_at_a_high_rate(who: str) -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    line.run(5)
    (line.a if who == "a" else line.b).restart()
    took = check_usable(line, 10.5, b"hello")
    assert took < (1.5 if who == "a" else 10.5), f"reached after {took} s"
    check_stays_at(line, TOP, 1, within=10)


def test_an_end_that_sends_notices_a_restarted_peer_soon() -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    line.run(5)
    line.b.restart()
    line.a.link.mux.send_message(0, b"anybody?")
    assert line.run_until(lambda: len(line.b.seen(SessionUp)) == 2, 2.5), line.transcript()
    check_usable(line, 1, b"hello")


@pytest.mark.parametrize("who", ["a", "b"])
def test_an_end_that_is_alone_at_another_rate_recovers(who: str) -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    assert line.rates is not None
    end = line.a if who == "a" else line.b
    line.run(3)
    end.line_down()
    end.line_up()  # as after pulling an adapter: its port has the first rate, and the other end does not know
    assert bauds(line)[who == "b"] == 115200
    line.ends[who == "a"].link.mux.send_message(0, b"are you there?")
    check_usable(line, 3.0, b"yes")
    assert len(line.a.seen(SessionUp)) == 1, "the session was replaced"
    check_stays_at(line, TOP, 1, within=30)


def test_noise_on_an_idle_line_does_not_change_the_rate() -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    noise = random.Random(1)
    for second in range(20):
        line.at(line.now + second + 0.5, lambda: line.inject("b", noise.randbytes(60)))
        line.at(line.now + second + 0.7, lambda: line.inject("a", noise.randbytes(60)))
    line.run(25)
    assert both_at(line, TOP)() and len(line.a.seen(RateChanged)) == 3


def test_a_goodbye_returns_both_ends_to_the_first_rate() -> None:
    line = autobaud_line()
    line.establish()
    assert line.run_until(both_at(line, TOP), 2)
    assert line.a.link.session is not None
    line.a.link.session.broken = "enough"
    line.a.handle_timer(line.now)
    line.touch()
    assert line.run_until(lambda: bauds(line) == [115200, 115200], 0.5), line.transcript()
    check_usable(line, 3, b"a new session")
    check_stays_at(line, TOP, 1, within=3)


def test_rate_changes_succeed_on_a_line_with_a_long_delay() -> None:
    line = autobaud_line(faults=Faults(delay=0.1))
    line.establish()
    check_stays_at(line, TOP, 5, within=6)


def test_two_callers_agree_on_a_leader() -> None:
    line = autobaud_line(local_b={"role": "c"})
    line.establish()
    check_stays_at(line, TOP, 1, within=3)


# In this example, the answer to a try of a group of bytes arrives while the next try of the group waits to be sent.
@example(
    seed=0,
    ber=0.0,
    drop=0.0,
    most=300000,
    noisy=None,
    cuts=[(0.0, 2.0)],
    restarts=[],
    replugs=[(2.25, "a")],
    port_time=0.03,
    printk=0.0,
)
@settings(max_examples=lives(30, 2000), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 1 << 20),
    ber=st.sampled_from((0.0, 1e-5, 1e-4, 3e-4)),
    drop=st.sampled_from((0.0, 1e-4, 1e-3)),
    most=st.sampled_from((None, 150000, 300000, 500000)),
    noisy=st.sampled_from((None, {300000: 1e-3}, {500000: 3e-4})),
    cuts=st.lists(st.tuples(st.floats(0, 6), st.floats(0.01, 2)), max_size=3),
    restarts=st.lists(st.tuples(st.floats(0, 6), st.sampled_from("ab")), max_size=3),
    replugs=st.lists(st.tuples(st.floats(0, 6), st.sampled_from("ab")), max_size=2),
    port_time=st.sampled_from((0.001, 0.03)),
    printk=st.sampled_from((0.0, 2.0)),
)
def test_the_two_ends_always_find_each_other_again(
    seed: int,
    ber: float,
    drop: float,
    most: float | None,
    noisy: dict[float, float] | None,
    cuts: list[tuple[float, float]],
    restarts: list[tuple[float, str]],
    replugs: list[tuple[float, str]],
    port_time: float,
    printk: float,
) -> None:
    faults = Faults(ber=ber, drop=drop, cuts=tuple(cuts), printk=printk)
    line = autobaud_line(seed, faults=faults, most_baud=most, noisy=noisy)
    line.port_time = port_time
    for when, name in restarts:
        line.at(when, (line.a if name == "a" else line.b).restart)
    for when, name in replugs:
        end = line.a if name == "a" else line.b
        line.at(when, lambda end=end: (end.line_down(), end.line_up()))
    line.run(8.1)
    check_usable(line, 14, b"we are here")
    line.run(40)
    check_usable(line, 5, b"and still are")


def test_a_controller_never_wants_a_rate_that_its_port_does_not_take() -> None:
    rng = random.Random(5)
    for _ in range(300):
        end = AutobaudController(base=115200, rates=RATES)
        end.session_up(leads=rng.random() < 0.5, able=True, now=0.0)
        now = 0.0
        for _ in range(80):
            now += rng.random() * 0.3
            choice = rng.randrange(7)
            if choice < 3:
                rate = rng.choice((*limits.CLIMB_RATES, 115200, 50))
                number = rng.choice((end._trial.number, rng.randint(0, 31)))
                end.receive(RateFrame(step=rng.choice("aynhtrkbw"), number=number, rate=rate, value=12).body(), now)
            elif choice == 3:
                end.handle_timer(now)
            elif choice == 4:
                end.lost(now)
            elif choice == 5:
                end.heard(now)
            elif end.wanted is not None:
                end.requested = end.wanted
                end.changed(end.requested, now)
            assert end.wanted is None or end.wanted in (115200, *RATES), "seed 5"
            assert end.baud in (115200, *RATES) and len(end._trial.pending) <= 40, "seed 5"
