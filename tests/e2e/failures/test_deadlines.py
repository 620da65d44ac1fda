"""Commands end soon after their ``--timeout``, although the hub or the agent is stopped. The lease is a minute."""

from __future__ import annotations

import signal
import time

from tests.e2e.kit import Daemon, Site, site

COMMANDS = {
    "run": ["run", "{other}", "--timeout", "1", "--", "true"],
    "cp": ["cp", "--timeout", "1", "{other}:/etc/passwd", "passwd"],
    "exchange": ["exchange", "keys", "--hosts", "hub,sut", "--timeout", "1", "data"],
    "barrier": ["barrier", "gate", "2", "--timeout", "1"],
}


def pair(place: Site) -> tuple[Daemon, Daemon]:
    hub = place.hub("--listen", f"unix:{place.folder}/lines", "--lease", "60")
    hub.says("listening on")
    agent = place.agent("--port", f"unix:{place.folder}/lines")
    agent.says("is registered")
    return hub, agent


def test_commands_end_at_their_timeout_while_the_other_side_is_stopped() -> None:
    with site() as first, site() as second:
        pair(first)[1].process.send_signal(signal.SIGSTOP)
        pair(second)[0].process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        places = {("hub", "sut"): first, ("sut", "hub"): second}
        started = {
            (host, name): place.start(host, *[word.format(other=other) for word in words])
            for (host, other), place in places.items()
            for name, words in COMMANDS.items()
        }
        ends = {key: command.wait(30) for key, command in started.items()}
        assert time.monotonic() - begin < 30, "the commands took half of the lease"
        codes = {key: done.code for key, done in ends.items()}
        assert codes == {
            ("hub", "run"): 125,
            ("hub", "cp"): 124,
            ("hub", "exchange"): 124,  # the hub ends it
            ("hub", "barrier"): 124,
            ("sut", "run"): 125,
            ("sut", "cp"): 124,
            ("sut", "exchange"): 124,
            ("sut", "barrier"): 125,
        }, ends
        for key, done in ends.items():
            assert ("may " in done.err) == (done.code == 125), (key, done)
        assert "missing" in ends["hub", "exchange"].err and "nothing was changed" in ends["sut", "exchange"].err, ends
