"""The handshake makes every transition of its table, and no other transition."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from linesync.testing.virtual_line import tokens
from linesync.wire.framing.check import session_seed
from linesync.wire.framing.frames import Hello
from linesync.wire.reliability import handshake as hs
from linesync.wire.reliability.handshake import Handshake, LocalParameters


def _end(role: str = "l") -> Handshake:
    token = tokens(random.Random(role))
    return Handshake(LocalParameters(role=role, boot=f"boot-{role}--", frame=512, credit=4096, flags="n"), token)


def _peer(nonce: str = "PEERPEER", peer: str = "", role: str = "c") -> Hello:
    return Hello(
        oldest=1, newest=1, role=role, nonce=nonce, peer=peer, boot="b-" + nonce[:6], frame=512, credit=4096, flags=""
    )


def _in_state(state: str) -> Handshake:
    end = _end()
    if state == hs.IDLE:
        return end
    end.received(_peer(), 0.0, alive=False, adopt=False)
    if state == hs.STANDING:
        end.received(_peer(peer=end.nonce), 0.0, alive=False, adopt=False)
        # an offer to another caller is open too
        end.received(_peer("OFFEROFF"), 0.0, alive=False, adopt=False)
    assert end.state == state
    return end


def _offered(end: Handshake) -> tuple[Hello, str]:
    assert end._offer is not None
    return end._offer


_HELLOS: dict[str, Callable[[Handshake], Hello]] = {
    hs.FROM_SELF: lambda end: _peer(end.nonce),
    hs.UNKNOWN: lambda end: _peer("NEWNEWNE"),
    hs.STALE: lambda end: _peer("NEWNEWNE", "OLDOLDOL"),
    hs.TO_US: lambda end: _peer("NEWNEWNE", end.nonce),
    hs.TO_OFFER: lambda end: _offered(end)[0].but(peer=_offered(end)[1]),
    hs.SAME: lambda end: _peer(peer=end.nonce),
    hs.SAME_UNHEARD: lambda end: _peer(),
    hs.OTHER_STATION: lambda end: _peer("NEWNEWNE", role="l"),
    hs.INCOMPATIBLE: lambda end: _peer("NEWNEWNE").but(flags="Z"),
}


@pytest.mark.parametrize(("state", "event"), hs.TRANSITIONS, ids=lambda text: text.replace(" ", "_"))
def test_each_transition_of_the_table_happens(state: str, event: str) -> None:
    end = _in_state(state)
    nonce = end.nonce
    after, action = hs.TRANSITIONS[state, event]
    if event == hs.OFFER_FRAME:
        hello, offered = _offered(end)
        assert end.frame_keyed(session_seed(hello.nonce, offered), 1.0)
        assert end.peer == hello and end.nonce == offered
    elif event == hs.ENDED:
        end.end()
        assert end.peer is None and end.nonce != nonce
    else:
        alive = action == hs.REPORT
        assert end.received(_HELLOS[event](end), 1.0, alive=alive, adopt=False) == action
    assert end.state == after


@pytest.mark.parametrize("event", sorted({event for _, event in hs.TRANSITIONS}))
@pytest.mark.parametrize("state", [hs.IDLE, hs.OFFERED, hs.STANDING])
def test_an_event_without_a_transition_changes_nothing(state: str, event: str) -> None:
    if (state, event) in hs.TRANSITIONS:
        return
    end = _in_state(state)
    before = (end.state, end.nonce, end.peer, end._offer)
    assert end._step(event, _peer("NEWNEWNE"), "NONCENON", 1.0) == ""
    assert (end.state, end.nonce, end.peer, end._offer) == before


def test_a_hello_alone_does_not_end_a_session() -> None:
    end = _in_state(hs.STANDING)
    before, seeds = end.peer, end.inbound_seeds()[0]
    for hello in (_peer("REPLAYED"), _peer("REPLAYED", "WHATEVER")):
        assert end.received(hello, 1.0, alive=True, adopt=False) == hs.OFFER
        assert end.peer == before and end.inbound_seeds()[0] == seeds


def test_the_sender_of_a_stale_hello_gets_an_offer_if_no_link_has_its_session() -> None:
    end = _end()
    stale = _peer("OLDCALLE", "OLDOLDOL")
    assert end.received(stale, 0.0, alive=False, adopt=False) == hs.RESUME
    assert end.received(stale, 0.0, alive=False, adopt=True) == hs.OFFER
    assert end.hello(stale).peer == "OLDCALLE"


def _deliveries(seed: int) -> Iterator[int]:
    rng = random.Random(seed)
    while True:
        yield rng.randrange(2)


@pytest.mark.parametrize("roles", ["cl", "cc"])
@pytest.mark.parametrize("seed", range(20))
def test_two_ends_agree_on_one_session_in_any_order_of_hellos(roles: str, seed: int) -> None:
    ends = (_end(roles[0]), Handshake(_end(roles[1]).local.but(boot="other---"), tokens(random.Random(seed))))
    mail: list[list[Hello]] = [[], []]
    for step, to in zip(range(200), _deliveries(seed), strict=False):
        if step % 20 < 2:  # a caller calls more than once
            mail[1].append(ends[0].hello())
            if roles[1] == "c":
                mail[0].append(ends[1].hello())
        if mail[to]:
            hello = mail[to].pop(0)
            action = ends[to].received(hello, step / 100, alive=ends[to].peer is not None, adopt=True)
            if action in (hs.ANSWER, hs.OFFER, hs.ESTABLISH):
                mail[1 - to].append(ends[to].hello(hello))
    assert ends[0].inbound_seeds()[0] == ends[1].outbound_seeds()[0]
    assert ends[0].outbound_seeds()[0] == ends[1].inbound_seeds()[0]
