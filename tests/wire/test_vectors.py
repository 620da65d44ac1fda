"""Run each case of tests/vectors/*.json with linesync, and with an endpoint that was written from docs/protocol.md alone."""

from __future__ import annotations

import json
import zlib
from types import ModuleType
from typing import Any

import pytest

from linesync import protocol
from linesync.errors import LinesyncError
from linesync.model.hosts import members
from linesync.protocol import escaping
from linesync.wire.autobaud.rate_frames import RateFrame
from linesync.wire.framing import check, digits, frames, payload
from linesync.wire.framing.frames import Ack, Hello
from tests.docs.protocol.on_virtual_time import load
from tools import protocol_vectors
from tools.protocol_vectors import FILES, FOLDER, OPERATIONS, decoded, fields_of, mux_events

Case = dict[str, Any]


def _load(name: str) -> Case:
    loaded: Case = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_exactly_the_output_of_its_generator(name: str) -> None:
    made = protocol_vectors.as_text(FILES[name]())
    assert (FOLDER / f"{name}.json").read_text() == made, "run python -m tools.protocol_vectors --write"


def test_each_file_has_a_generator_and_a_mention_in_the_readme() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(FILES)
    readme = (FOLDER / "README.md").read_text()
    assert all(f"`{name}.json`" in readme for name in FILES)


# -- linesync ----------------------------------------------------------------------------------------------------------


def test_numbers_agree_with_the_vectors() -> None:
    vectors = _load("digits")
    for case in vectors["fixed"]:
        assert digits.fixed(case["number"]).decode() == case["text"]
        assert digits.read_fixed(case["text"].encode(), 0) == case["number"]
    for case in vectors["counted"]:
        assert digits.counted(case["number"]).decode() == case["text"]
        assert digits.read_counted(case["text"].encode(), 0) == (case["number"], len(case["text"]))
    for case in vectors["bad_fixed"]:
        assert digits.read_fixed(case["text"].encode(), 0) < 0, case
    for case in vectors["bad_counted"]:
        assert digits.read_counted(case["text"].encode(), 0)[0] < 0, case


def test_checks_agree_with_the_vectors() -> None:
    vectors = _load("check")
    for case in vectors["seed"]:
        assert check.session_seed(case["speaker"], case["listener"]) == int(case["seed"], 16)
    for case in vectors["check"]:
        covered, seed = bytes.fromhex(case["covered"]), int(case["seed"], 16)
        assert frames.crc(covered, seed) == int(case["crc"], 16)
        assert check.check_text(covered, seed).decode() == case["check"]


def test_payloads_agree_with_the_vectors() -> None:
    vectors = _load("payload")
    for case in vectors["base64"]:
        assert payload.encode_base64(bytes.fromhex(case["data"])).decode() == case["text"]
        assert payload.decode_base64(case["text"].encode()) == bytes.fromhex(case["data"])
    for case in vectors["loose_base64"]:
        assert payload.decode_base64(case["text"].encode()) == bytes.fromhex(case["data"])
    for case in vectors["eight"]:
        assert payload.encode_eight(bytes.fromhex(case["data"])).hex() == case["text"]
        assert payload.decode_eight(bytes.fromhex(case["text"])) == bytes.fromhex(case["data"])
    for case in vectors["bad_base64"]:
        assert payload.decode_base64(case["text"].encode()) is None, case
    for case in vectors["loose_eight"]:
        assert payload.decode_eight(bytes.fromhex(case["text"])) == bytes.fromhex(case["data"])
    for case in vectors["bad_eight"]:
        assert payload.decode_eight(bytes.fromhex(case["text"])) is None, case


def test_bodies_agree_with_the_vectors() -> None:
    vectors = _load("hellos")
    for case in vectors["good"] + vectors["later"]:
        hello = Hello.read(case["body"].encode())
        assert hello is not None
        assert {name: case[name] for name in Hello.FIELDS} == hello.as_dict()
        assert hello.body().decode() == case["body"] or case in vectors["later"]
    for case in vectors["bad"]:
        assert Hello.read(case["body"].encode()) is None, case
        assert (case["body"].count(".") == 5) is (case["why"] not in ("empty", "five parts")), case
    vectors = _load("acks")
    for case in vectors["good"] + vectors["loose"]:
        ack = Ack.read(case["body"].encode())
        assert ack is not None
        assert ack.body().decode() == case["body"] or case in vectors["loose"]
        assert json.loads(json.dumps(ack.as_dict())) == {name: case[name] for name in Ack.FIELDS}
    for case in vectors["bad"]:
        assert Ack.read(case["body"].encode()) is None, case
    vectors = _load("rates")
    for case in vectors["good"] + vectors["later"]:
        rate = RateFrame.read(case["body"].encode())
        assert rate is not None and rate.as_dict() == {name: case[name] for name in RateFrame.FIELDS}
        assert rate.body().decode() == case["body"] or case in vectors["later"]
    for case in vectors["bad"]:
        assert RateFrame.read(case["body"].encode()) is None, case
    vectors = _load("data")
    for case in vectors["good"]:
        data = frames.read_data(case["kind"].encode(), bytes.fromhex(case["body"]))
        assert data is not None and data.lane is frames.DATA_KINDS[case["kind"].encode()][0]
        assert (data.seq, data.ack, data.payload.hex()) == (case["sequence"], case["acknowledgement"], case["payload"])
    for case in vectors["bad"]:
        assert frames.read_data(case["kind"].encode(), bytes.fromhex(case["body"])) is None, case


def test_frames_agree_with_the_vectors_and_bad_frames_are_not_found() -> None:
    vectors = _load("frames")
    options = {"longest": 127, "eight": False, "seed": vectors["seed"], "echo": "00000001"}
    for case in vectors["good"]:
        kind, body = case["kind"].encode(), bytes.fromhex(case["body"])
        assert frames.encode(kind, body, int(case["seed"], 16)).hex() == case["frame"]
        found = decoded(bytes.fromhex(case["frame"]), options | {"eight": case["unchanged"]}, 1)
        assert found == {"frames": [[case["kind"], case["body"]]], "echoes": [], "text": "", "damaged": ""}
        assert bool(decoded(bytes.fromhex(case["frame"]), options, 1)["frames"]) is not case["unchanged"], case
    for case in vectors["bad"]:
        found = decoded(bytes.fromhex(case["stream"]), options, 3)
        assert not found["frames"], case
        assert not found["echoes"], case


def test_records_agree_with_the_vectors() -> None:
    vectors = _load("records")
    for case in vectors["good"] + vectors["bad"]:
        events, fault = mux_events(100, [bytes.fromhex(data) for data in case["payloads"]])
        assert fault is (case in vectors["bad"]), case
        assert events == case["events"], case


def test_channel_0_of_the_vectors_is_in_the_prompt_lane_and_carries_no_data() -> None:
    cases = _load("records")
    for case in cases["good"] + cases["bad"]:
        assert all(event[2] == "prompt" for event in case["events"] if event[0] == "opened"), case
        assert not any(event[0] == "data" and event[1] == 0 for event in case["events"]), case


def test_compressed_records_agree_with_the_vectors() -> None:
    vectors = _load("compressed")
    for case in vectors["good"] + vectors["bad"]:
        events, fault = mux_events(600, [bytes.fromhex(data) for data in case["payloads"]], expand=True)
        assert fault is (case in vectors["bad"]), case
        assert events == case["events"], case


def test_words_and_messages_agree_with_the_vectors() -> None:
    vectors = _load("words")
    for case in vectors["good"]:
        text = bytes.fromhex(case["bytes"]).decode("utf-8", "surrogateescape")
        assert escaping.quote(text) == case["word"]
        assert escaping.unquote(case["word"]) == text
    for case in vectors["bad"]:
        with pytest.raises(ValueError):  # noqa: PT011 - the text of the error does not matter
            escaping.unquote(case["word"])
    vectors = _load("messages")
    for case in vectors["good"] + vectors["loose"]:
        message = protocol.decode(case["text"], *OPERATIONS)
        assert case["verb"] == message.VERB
        assert fields_of(message) == case["fields"]
        assert (protocol.encode(message) == case["text"]) is (case in vectors["good"])
    assert {case["verb"] for case in vectors["good"]} == {cls.VERB for cls in OPERATIONS}
    for case in vectors["bad"]:
        with pytest.raises(LinesyncError) as caught:
            protocol.decode(case["text"], *OPERATIONS)
        assert caught.value.code == case["error"], case


def test_folded_lists_of_members_agree_with_the_vectors() -> None:
    vectors = _load("members")
    for case in vectors["good"]:
        assert list(members.unfold(case["list"])) == case["members"]
        assert members.fold(case["members"]) == case["folded"]
        assert set(members.unfold(case["folded"])) == set(case["members"])
    for case in vectors["bad"]:
        with pytest.raises(LinesyncError) as caught:
            members.unfold(case["list"])
        assert caught.value.code == case["error"], case


@pytest.mark.parametrize("case", _load("streams")["cases"], ids=lambda case: case["name"])
def test_a_stream_gives_the_same_frames_and_text_in_pieces_of_any_size(case: Case) -> None:
    data = bytes.fromhex(case["stream"])
    wanted = {key: case[key] for key in ("frames", "echoes", "text", "damaged")}
    for chunk in (1, 2, 3, 7, 64, len(data)):
        assert decoded(data, case, chunk) == wanted, f"in pieces of {chunk}"


# -- an independent endpoint -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def independent() -> ModuleType:
    return load()


def test_the_independent_endpoint_agrees_on_numbers_checks_and_payloads(independent: ModuleType) -> None:
    vectors = _load("digits")
    for case in vectors["fixed"]:
        assert independent.fixed(case["number"]).decode() == case["text"]
        assert independent.read_fixed(case["text"].encode(), 0) == case["number"]
    for case in vectors["counted"]:
        assert independent.counted(case["number"]).decode() == case["text"]
        assert independent.read_counted(case["text"].encode(), 1) == (case["number"], len(case["text"]))
    for case in vectors["bad_counted"]:
        with pytest.raises((ValueError, IndexError)):
            independent.read_counted(case["text"].encode(), 1)
    for case in _load("payload")["base64"]:
        assert independent.base64(bytes.fromhex(case["data"])).decode() == case["text"]
        assert independent.unbase64(case["text"].encode()).hex() == case["data"]
    for case in _load("check")["check"]:
        crc = zlib.crc32(bytes.fromhex(case["covered"]), int(case["seed"], 16))
        assert independent.base64(crc.to_bytes(4, "big")).decode() == case["check"]


def test_the_independent_endpoint_writes_and_finds_the_same_frames(independent: ModuleType) -> None:
    vectors = _load("frames")
    for case in vectors["good"]:
        made = independent.frame(case["kind"].encode(), bytes.fromhex(case["body"]), int(case["seed"], 16))
        assert made.hex() == case["frame"]
    for case in vectors["bad"]:
        assert not _found(independent, bytes.fromhex(case["stream"]), int(vectors["seed"], 16), 3), case
    for case in _load("streams")["cases"]:
        if case["eight"] or "inside a" in case["name"]:
            continue  # the independent endpoint lacks the eight form, nested frames and repairs
        for chunk in (1, 10_000):
            found = _found(independent, bytes.fromhex(case["stream"]), int(case["seed"], 16), chunk)
            assert found == case["frames"], case["name"]


def _found(independent: ModuleType, data: bytes, seed: int, chunk: int) -> list[list[str]]:
    end = independent.Endpoint(lambda data: None)
    end.peer, end.seed_in = "standing", seed
    frames = [frame for at in range(0, len(data), chunk) for frame in end.frames(data[at : at + chunk])]
    return [[kind.decode(), body.hex()] for kind, body in frames]
