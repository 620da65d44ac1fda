"""A hub is drained while a script waits and a command runs; the next hub continues from its file."""

from __future__ import annotations

from tests.e2e.kit import Site


def test_a_drained_hub_stops_after_its_commands_and_the_next_hub_continues_the_waits(site: Site) -> None:
    def start_hub() -> None:
        site.hub("--state", "hub.db", "--listen", f"unix:{site.folder}/lines").says("listening on")

    start_hub()
    hub = site.daemons[0]
    site.agent("--port", f"unix:{site.folder}/lines")
    site.await_host()
    waiter = site.start("sut", "barrier", "boot", "2")
    site.await_waiting("barriers", "boot", 1)
    loop = f"echo runs; until [ -e {site.folder}/end ]; do sleep 0.05; done; echo ended"
    command = site.start("hub", "run", "sut", "--", "sh", "-c", loop)
    assert command.process.stdout is not None and command.process.stdout.readline() == b"runs\n"
    drain = site.start("sut", "drain")
    assert drain.process.stderr is not None
    assert drain.process.stderr.readline() == b"linesync: the hub waits for the command 'sh' on sut\n"
    site.until(lambda: site.json("hub", "status")["drain"] == "the command 'sh' on sut", "the drain")
    refused = site.type("hub", "barrier", "boot", "2")
    assert refused.code == 125 and "the hub is being drained for an upgrade" in refused.err
    assert hub.process.poll() is None and drain.running
    (site.folder / "end").touch()
    done = command.wait()
    assert (done.code, done.out) == (0, b"ended\n")
    assert drain.wait().code == 0 and hub.ended() == 0
    assert waiter.running
    start_hub()
    assert site.type("hub", "barrier", "boot", "2").code == 0
    assert waiter.wait().code == 0
