"""Messages that a script sends as a member of its host, without being a member itself."""

from __future__ import annotations

from typing import Any

import pytest

from linesync.errors import Aborted, LinesyncFailed, NotAllowed
from linesync.model.decisions import Granted
from linesync.model.groups.messages import WINDOW
from linesync.model.participants import Client
from linesync.model.state.group import SEND_AGAIN

from .play import GROUP, NS, Actor, Play


def post(play: Play, text: str, name: str = "b", client: Client | None = None, **options: Any) -> list[Any]:
    """Send a message as a member; return the replies."""
    sender = client or Client("b", "900")
    outcomes = play.groups.post("b/1", NS, GROUP, name, sender, f"t{text}", len(text), play.now, **options)
    play.tell(outcomes)
    play.settle()
    return [one.value for one in outcomes if isinstance(one, Granted) and one.client == sender]


def texts(actor: Actor) -> list[bytes]:
    return [one[2] for one in actor.log if one[0] == "message" and one[1].startswith("b")]


def test_a_script_sends_as_the_host_that_joined_and_as_a_member_with_a_script() -> None:
    play = Play()
    a = play.join("a")
    play.join("b", passive=True)
    c = play.join("b#x")
    assert len(post(play, "1")) == 1
    assert len(post(play, "2", "b#x")) == 1
    assert texts(a) == texts(c) == [b"1", b"2"]


def test_only_scripts_of_the_host_of_a_member_send_as_it() -> None:
    play = Play()
    play.join("a")
    play.join("b", passive=True)
    with pytest.raises(LinesyncFailed, match="c is not a member of group 'net'"):
        post(play, "1", "c")
    with pytest.raises(NotAllowed, match="c cannot act as b in group 'net': only a script on its own host can"):
        post(play, "1", client=Client("c", "1"))


def test_a_message_is_not_delivered_if_another_one_of_the_member_begins_before_its_last_part() -> None:
    play = Play()
    a, b = play.join("a"), play.join("b")
    first, second = Client("b", "901"), Client("b", "902")
    post(play, "first", client=first, more=True)
    post(play, "second", client=second, more=True)
    with pytest.raises(Aborted, match="another script of this host has sent a message") as caught:
        post(play, "!", client=first, part=True)
    assert caught.value.details["cause"] == SEND_AGAIN
    play.restart_hub()
    post(play, "!", client=second, part=True)
    post(play, "third", client=first, more=True)
    b.cast("own", more=True)
    with pytest.raises(Aborted, match="send it again"):
        post(play, "!", client=first, part=True)
    b.cast("!", part=True)
    post(play, "fourth", client=first, more=True)
    with pytest.raises(Aborted, match="another script of this host sent a message at the same time"):
        b.cast("?", part=True)
    play.settle()
    assert texts(a) == [b"second!", b"own!"]


def test_a_message_is_not_delivered_if_the_view_ends_before_its_last_part() -> None:
    play = Play()
    a = play.join("a")
    play.join("b", passive=True)
    post(play, "lost", more=True)
    play.join("c")
    with pytest.raises(Aborted, match="the view has ended") as caught:
        post(play, "!", part=True)
    assert caught.value.details["cause"] == SEND_AGAIN
    assert texts(a) == []


def test_a_message_is_refused_while_members_have_not_received_the_earlier_ones_or_the_group_is_short() -> None:
    play = Play(quorum=2)
    play.join("b", passive=True)
    with pytest.raises(LinesyncFailed, match="it has 1 of at least 2 members") as short:
        post(play, "1")
    assert "cause" not in short.value.details
    a = play.join("a")
    a.deaf = True
    for _ in range(WINDOW // 10_000 + 2):  # a had asked for the first one
        assert post(play, "x" * 10_000)
    with pytest.raises(LinesyncFailed, match="have not received the earlier messages of b") as full:
        post(play, "x")
    assert full.value.details["cause"] == SEND_AGAIN
    a.deaf = False
    play.settle()
    assert post(play, "last")
