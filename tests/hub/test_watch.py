"""Tracing a link: several readers at the same time, each from its own start to its own end."""

from __future__ import annotations

from linesync.hub.watch import _unwatch, _watch
from linesync.runtime.identity import local_end, token
from linesync.wire.link import Link


def test_traces_begin_and_end_in_any_order() -> None:
    link = Link(local_end("l", clean=True), token)
    seen: dict[str, list[str]] = {"first": [], "second": []}

    def first(direction: str, kind: bytes, body: bytes, length: int) -> None:
        seen["first"].append(direction)

    def second(direction: str, kind: bytes, body: bytes, length: int) -> None:
        seen["second"].append(direction)

    def frame(direction: str) -> None:
        if link.trace is not None:
            link.trace(direction, b"k", b"", 5)

    _watch(link, first)
    frame("one")
    _watch(link, second)
    frame("two")
    _unwatch(link, first)
    frame("three")
    _unwatch(link, second)
    frame("four")
    assert seen == {"first": ["one", "two"], "second": ["two", "three"]}
    assert link.trace is None, "a link without readers has no cost"
