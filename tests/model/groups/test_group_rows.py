"""The rows that a hub writes to its store for an input of a group."""

from __future__ import annotations

import json

from .play import Play


def written(play: Play) -> int:
    """The bytes of the rows of the changes since the last call."""
    rows = play.model.journal.take()
    for kind, key, record in rows:
        if record is None:
            play.store.rows.pop((kind, key), None)
        else:
            play.store.rows[kind, key] = json.dumps(record.as_json())
    return sum(len(json.dumps(record.as_json())) for _, _, record in rows if record is not None)


def test_an_acknowledgement_writes_no_services_no_earlier_rounds_and_no_state() -> None:
    play = Play()
    for number in range(8):
        play.join(f"host{number}", *range(1, 31))
    actors = list(play.actors.values())
    actors[0].cast("s" * 10_000, state=True)
    play.settle()
    assert len(play.state().rounds) == 8
    played, play.store.take = play.store.take, lambda model: None  # type: ignore[method-assign]
    actors[0].cast("x" * 100)
    assert 0 < written(play) < 1000 * len(actors)
    for actor in actors:
        assert actor.act() and actor.act()  # it takes the message, and asks for the next event
        assert 0 < written(play) < 1000
    play.store.take = played  # type: ignore[method-assign]
    play.restart_hub()
