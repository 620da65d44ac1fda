"""Compression with Zstandard, if both ends have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesync.wire.channels.mux import Mux
from linesync.wire.framing.frames import Lane

from ..kit.compression import NOISE, OPENED, PROSE, carry, data_of, pair, record
from ..kit.profiles import examples
from ..kit.traffic import ready, send_all
from .test_compression import CompressedMuxMachine

pytest.importorskip("zstandard")


class ZstdMuxMachine(CompressedMuxMachine):
    """The tests of :class:`CompressedMuxMachine` with Zstandard."""

    def pair(self) -> tuple[Mux, Mux]:
        return pair(self.credit, zstd=True)


TestZstdMuxMachine = ZstdMuxMachine.TestCase
TestZstdMuxMachine.settings = examples(40, 3000, steps=40)


@examples(150, 5000)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), max_size=8), st.integers(60, 3000))
def test_data_divided_anywhere_passes_zstandard_unchanged(parts: list[tuple[bool, int]], room: int) -> None:
    a, b = pair(zstd=True)
    number = a.open(Lane.BULK, b"x")
    sent, events = b"", []
    for prose, size in parts:
        data = (PROSE if prose else NOISE)[:size]
        a.send(number, 0, data)
        sent += data
        events += carry(a, b, room)[0]
    assert data_of(events) == sent


def test_zstandard_compresses_distant_repetitions_better_than_zlib() -> None:
    sizes = []
    for zstd in (False, True):
        a, b = pair(1 << 20, zstd=zstd)
        number = a.open(Lane.BULK, b"x")
        a.send(number, 0, NOISE[:60_000] + PROSE + NOISE[:60_000])  # the repetition is beyond the window of zlib
        events, size = carry(a, b, 2000)
        assert data_of(events) == NOISE[:60_000] + PROSE + NOISE[:60_000]
        sizes.append(size)
    assert sizes[1] < sizes[0]


def test_a_zstandard_bomb_and_invalid_data_are_protocol_violations() -> None:
    import zstandard

    from linesync.wire.channels.compression import ZstdDataDecompressor

    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    assert len(bomb) < 30_000
    assert ZstdDataDecompressor().take(bomb, 1 << 16) is None
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    far = zstandard.ZstdCompressor(compression_params=wide).compressobj().compress(NOISE * 3)
    for piece in (far, b"no zstandard at all"):
        assert ZstdDataDecompressor().take(piece, 1 << 22) is None
    assert not pair(zstd=True)[0].receive(Lane.BULK, OPENED + record(b"4", 2, b"no zstandard at all"))
    assert not pair(zstd=True)[0].receive(Lane.BULK, OPENED + record(b"4", 2, bomb))


@pytest.mark.parametrize(("a", "b"), [("nzs", "nz"), ("nz", "nzs"), ("nzs", "nzs")])
def test_zstandard_is_used_only_if_both_ends_have_it(a: str, b: str) -> None:
    line = ready(local_a={"flags": a}, local_b={"flags": b})
    took = send_all(line, line.a, PROSE)
    assert took < len(PROSE) / 11520 / 3
    assert line.a.link.session.mux._zstd == (a == b == "nzs")


def test_an_end_announces_zstandard_if_it_is_installed() -> None:
    from linesync.runtime.identity import local_end

    assert local_end("c", clean=False).flags.endswith("s")
    assert not local_end("c", clean=True).flags.endswith("s")
