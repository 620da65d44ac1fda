"""docs/protocol.md agrees with the code. The tests decode every example and compare every table with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from linesync import errors, limits, protocol
from linesync.hub.dispatch import granted
from linesync.model.decisions import Granted, Released
from linesync.model.hosts.members import fold, unfold
from linesync.model.participants import Client
from linesync.protocol import escaping, operations
from linesync.wire.autobaud import states
from linesync.wire.autobaud.rate_frames import RateFrame, rate_set
from linesync.wire.channels import channel as channel_records
from linesync.wire.events import FrameFound
from linesync.wire.framing import check, digits, frames, payload, transparency
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Hello, Lane
from linesync.wire.reliability import handshake
from tools import protocol_examples
from tools.protocol_examples import AGENT, HUB, PAGE, PARTS, TO_AGENT, TO_HUB, differences, stream

PAGE_TEXT = PAGE.read_text()
CLASSES = {cls.VERB: cls for cls in map(vars(protocol).get, protocol.__all__) if hasattr(cls, "VERB")}


def _blocks(kind: str) -> list[list[str]]:
    found = re.findall(rf"^```{kind}\n(.*?)\n```$", PAGE_TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no {kind} example"
    return [block.split("\n") for block in found]


def _rows(kind: str) -> Iterator[list[str]]:
    for block in _blocks(kind):
        for line in block:
            yield re.split(r" {2,}", line)


def _table(*head: str) -> list[list[str]]:
    """The rows of the page's table with these columns."""
    start = PAGE_TEXT.index(f"\n| {' | '.join(head)} |\n")
    lines = PAGE_TEXT[start + 1 :].split("\n\n")[0].split("\n")[2:]
    lines = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _bytes(text: str) -> bytes:
    r"""The bytes for a text of the page: ``\xNN`` for a byte that cannot be printed; ``-`` alone for no bytes."""
    return b"" if text == "-" else re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), text).encode("latin-1")


# -- generated parts ---------------------------------------------------------------------------------------------------


def test_every_generated_part_agrees_with_the_code() -> None:
    found = differences(PAGE_TEXT)
    assert not found, "\n".join(["run python -m tools.protocol_examples --write", *found])


def test_every_generated_part_is_in_the_page_once() -> None:
    assert sorted(re.findall(r"<!-- made: ([a-z-]+) -->", PAGE_TEXT)) == sorted(PARTS)


# -- numbers, checks and payloads --------------------------------------------------------------------------------------


def test_numbers_encode_and_decode_as_in_the_page() -> None:
    for number, text in _rows("fixed"):
        assert digits.fixed(int(number)) == text.encode()
        assert digits.read_fixed(text.encode(), 0) == int(number)
    for number, text in _rows("counted"):
        assert digits.counted(int(number)) == text.encode()
        assert digits.read_counted(text.encode(), 0) == (int(number), len(text))
    assert digits.ALPHABET.decode() in PAGE_TEXT


def test_checks_and_seeds_agree_with_the_page() -> None:
    for speaker, listener, seed in _rows("seed"):
        assert check.session_seed(speaker, listener) == int(seed, 16) == frames.crc((speaker + listener).encode(), 0)
    for text, seed, crc, shown in _rows("check"):
        assert frames.crc(text.encode(), int(seed, 16)) == int(crc, 16)
        assert check.check_text(text.encode(), int(seed, 16)) == shown.encode()
        assert payload.encode_base64(int(crc, 16).to_bytes(4, "big")) == shown.encode()


def test_the_crc_has_the_parameters_of_the_page() -> None:
    given = {row[0]: row[1] for row in _table("parameter", "value")}
    width, poly = int(given["width"]), int(given["poly"], 16)
    register = int(given["init"], 16)
    assert given["refin"] == given["refout"] == "true"
    mirrored = int(f"{poly:0{width}b}"[::-1], 2)
    for byte in b"123456789":
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (mirrored if register & 1 else 0)
    crc = register ^ int(given["xorout"], 16)
    assert crc == int(given["check value, of `123456789`"], 16) == frames.crc(b"123456789", 0)
    for byte in crc.to_bytes(4, "little"):
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (mirrored if register & 1 else 0)
    assert register == int(given["residue, before xorout"], 16)


def test_payloads_encode_and_decode_as_in_the_page() -> None:
    for data, text in _rows("base64"):
        raw, shown = bytes.fromhex(data.strip("-")), b"" if data == "-" else text.encode()
        assert payload.encode_base64(raw) == shown
        assert payload.decode_base64(shown) == raw
    for data, text in _rows("eight"):
        assert payload.encode_eight(bytes.fromhex(data)) == _bytes(text)
        assert payload.decode_eight(_bytes(text)) == bytes.fromhex(data)
    for data, text in _rows("masked"):
        assert payload.decode_masked(_bytes(text)) == bytes.fromhex(data)
    escapes = {bytes.fromhex(byte[-2:]): text.strip("`").encode() for byte, text in _table("byte", "written")}
    assert {byte: payload.encode_eight(byte) for byte in escapes} == escapes
    plain = bytes(set(range(256)) - {byte[0] for byte in escapes})
    assert payload.encode_eight(plain) == plain


def test_words_encode_and_decode_as_in_the_page() -> None:
    for row in _rows("word"):
        text = row[0].encode("ascii").decode("unicode_escape")
        assert escaping.quote(text) == row[1]
        assert escaping.unquote(row[1]) == text


# -- frames ------------------------------------------------------------------------------------------------------------


def _frame_blocks() -> list[dict[str, str]]:
    return [dict(re.split(r" {2,}", line, maxsplit=1) for line in block) for block in _blocks("frame")]  # type: ignore[misc]


def _lane(text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    first, *rest = [int(number) for number in re.findall(r"\d+", text)]
    return first, tuple(zip(rest[::2], rest[1::2], strict=True))


def _body(block: dict[str, str]) -> bytes:
    """The body, encoded from the fields of the block."""
    kind = block["kind"].encode()
    if kind == b"H":
        texts = {name: _bytes(block[f"{name}:"]).decode() for name in ("role", "nonce", "peer", "boot", "flags")}
        return Hello(
            **texts, **{name: int(block[f"{name}:"]) for name in ("oldest", "newest", "frame", "credit")}
        ).body()
    if kind == b"A":
        lanes = {name: _lane(block[f"{name}:"]) for name in ("prompt", "bulk")}
        return Ack(age=int(block["age:"]), poll=int(block["poll:"]), **lanes).body()
    if kind in (b"b", b"B"):
        lane, data = frames.DATA_KINDS[kind][0], _bytes(block["payload:"])
        text = payload.MaskedForm().encode(data)
        assert block.get("second check:", "") == (frames.second_check(data).decode() if kind == b"B" else "")
        return frames.masked_body(lane, int(block["seq:"]), int(block["ack:"]), data, text)
    if kind in frames.DATA_KINDS:
        numbers = int(block["seq:"]), int(block["ack:"])
        return frames.data_body(*numbers, _bytes(block["payload:"]), eight=frames.DATA_KINDS[kind][1] == frames.EIGHT)
    if kind == b"a":
        return frames.short_ack_body(int(block["prompt:"]), int(block["bulk:"]))
    if kind == b"S":
        rates = frozenset(int(rate) for rate in re.findall(r"\d+", block.get("takes:", "")))
        value = rate_set(rates) if rates else int(block["came:"])
        numbers = {"number": int(block["number:"]), "rate": int(block["rate:"])}
        return RateFrame(step=block["step:"], value=value, **numbers).body()
    if kind == b"X":
        return payload.encode_base64(block["reason:"].encode())
    if kind == b"T":
        return frames.probe_body(int(block["size:"]))
    if kind in (b"V", b"U"):
        group = int(block["group:"])
        tried = transparency.GROUPS[group - 1] if group else b""
        return frames.try_body(group, tried) if kind == b"V" else frames.tried_body(group)
    return {b"P": lambda: frames.poll_body(int(block["poll:"])), b"K": lambda: b""}.get(
        kind, lambda: frames.probed_body(int(block["size:"]))
    )()


@pytest.mark.parametrize("block", _frame_blocks(), ids=lambda block: block["kind"])
def test_a_frame_of_the_page_encodes_and_decodes_to_its_fields(block: dict[str, str]) -> None:
    text, kind, seed = _bytes(block["frame"]), block["kind"].encode(), int(block["seed"][:8], 16)
    body = _body(block)
    assert body == _bytes(block["body"])
    assert frames.encode(kind, body, seed) == text + b"\n"
    for chunk in (1, 1000):
        decoder = Decoder(eight=kind in b"CDbBV")  # these are only sent to a receiver that reads bytes unchanged
        decoder.seeds = (seed,)
        found, foreign, damaged = stream(text + b"\n", decoder, chunk)
        assert (found, foreign, damaged) == ([f"{kind.decode()} {block['body']}".removesuffix(" -")], b"", b"")
    if kind == b"H":
        hello = Hello.read(body)
        assert hello is not None and hello.body() == body
    elif kind == b"A":
        ack = Ack.read(body)
        assert ack is not None and ack.body() == body
    elif kind == b"T":
        assert len(text) + 1 == int(block["size:"])


def test_the_page_shows_every_kind_of_frame() -> None:
    assert {block["kind"].encode() for block in _frame_blocks()} == frames.KINDS


def test_the_table_of_kinds_agrees_with_the_code() -> None:
    rows = _table("kind", "name", "interruptible", "body")
    kinds = {row[0].strip("`").encode(): row for row in rows}
    assert kinds.keys() == frames.KINDS
    assert {kind for kind, row in kinds.items() if row[2] == "yes"} == frames.BULK_KINDS
    for kind, (lane, form) in frames.DATA_KINDS.items():
        assert kinds[kind][1] == f"data, {lane.name.lower()} lane, {form}"
    for kind, row in kinds.items():
        if kind not in frames.DATA_KINDS:
            assert frames.describe(kind, b"").split()[0] == row[1]


def test_streams_contain_the_frames_and_text_of_the_page() -> None:
    cases: list[dict[str, list[str]]] = []
    for line in (line for block in _blocks("stream") for line in block):
        key, _, value = line.partition(" ")
        if key == "#":
            cases.append({"stream": [], "frame": [], "text": [], "damaged": []})
        else:
            cases[-1][key].append(value.removeprefix(" " * (7 - len(key))))
    assert len(cases) > 4
    for case in cases:
        for chunk in (1, 2, 5, 1000):
            decoder = Decoder()
            decoder.seeds, decoder.echo_seeds = (TO_AGENT,), (TO_HUB,)
            found, text, damaged = stream(_bytes(case["stream"][0]), decoder, chunk)
            assert found == case["frame"]
            assert text == b"".join(map(_bytes, case["text"]))
            assert damaged == b"".join(map(_bytes, case["damaged"]))


# -- records, messages -------------------------------------------------------------------------------------------------


def test_records_encode_and_decode_as_in_the_page() -> None:
    for text, kind, channel, body in _rows("record"):
        data = kind.encode() + digits.counted(int(channel)) + digits.counted(len(_bytes(body))) + _bytes(body)
        assert data == _bytes(text)
        assert protocol_examples.read_records(data) == [(kind, int(channel), _bytes(body))]


def test_messages_of_the_page_are_unchanged_after_decoding_and_encoding() -> None:
    seen = set()
    for (text,) in _rows("message"):
        message = protocol.decode(text, *CLASSES.values())
        seen.add(message.VERB)
        assert protocol.encode(message) == text
    assert seen == set(CLASSES)


def test_replies_of_the_page_can_be_decoded() -> None:
    good, parties, bad, activity, read, empty, lease = [text.partition(" ")[2] for (text,) in _rows("reply")]
    assert protocol.read_reply(good) == ["0"]
    assert protocol.read_reply(parties) == ["1", "2", "hub", "sut1"]
    assert protocol.read_reply(parties).texts("lost") == ("sut2",)
    with pytest.raises(errors.TimedOut) as caught:
        protocol.read_reply(bad)
    assert caught.value.details == {"value": 0, "wanted": 1}
    assert protocol.read_reply(activity) == ["1", "3", "8*"]
    ((number, sender, items),) = json.loads(protocol.read_reply(read)[0])
    assert (number, sender, items) == (1, "sut", ["ip=10.0.0.7", "port=5001"])
    assert protocol.read_reply(empty) == []
    assert protocol.read_reply(lease) == ["0.25"] and protocol.read_reply(lease).options == {"lease": "5"}


def test_the_reply_to_a_release_agrees_with_the_page() -> None:
    released = Released(generation=1, parties=("hub", "sut1"), position=2, count=2, lost=("sut2",))
    client = Client("hub", "1")
    (parties,) = [text.partition(" ")[2] for (text,) in _rows("reply") if text.startswith("3 ")]
    assert granted(Granted(arrival="x", client=client, value=released)) == parties
    (row,) = [
        row
        for row in _table("verb", "as", "sent by, to", "permission", "fields", "options", "answer")
        if "barrier" in row[0]
    ]
    assert row[6] == "ok: " + " ".join(protocol.BARRIER_REPLY)


def test_folded_lists_of_the_page_decode_as_it_says() -> None:
    for text, names in _rows("folded"):
        members = names.split(" ")
        assert list(unfold(text)) == members
        assert set(unfold(fold(members))) == set(members)


@pytest.mark.parametrize(
    "text", ["a[1-", "a]1[", "a[2-1]", "a[x]", "a[]", "a,", "a#", "a[1-10001]", "a[0-9][0-999][0-9]"]
)
def test_malformed_folded_lists_are_refused(text: str) -> None:
    with pytest.raises(errors.UsageError):
        unfold(text)


def test_the_table_of_operations_has_every_message_and_an_example_of_each() -> None:
    rows = _table("verb", "as", "sent by, to", "permission", "fields", "options", "answer")
    assert {row[0].strip("`") for row in rows} == set(CLASSES)
    assert {operation.message for operation in operations.OPERATIONS} == set(CLASSES.values())
    assert {row[3] for row in rows} - {""} <= set(operations.PERMISSIONS)
    for verb in CLASSES:
        assert any(text.partition(" ")[0] == verb for (text,) in _rows("message")), verb


# -- tables ------------------------------------------------------------------------------------------------------------


def test_the_table_of_the_handshake_agrees_with_the_code() -> None:
    rows = _table("state", "input", "next state", "action")
    assert {(a, b): (c, d) for a, b, c, d in rows} == handshake.TRANSITIONS
    assert len(rows) == len(handshake.TRANSITIONS)
    for input_ in {input_ for _, input_ in handshake.TRANSITIONS}:
        if input_.startswith("hello of the standing"):
            input_ = input_.partition(", ")[0]
        assert re.sub(r"\s+", " ", PAGE_TEXT).count(f"*{input_}") + PAGE_TEXT.count(f"A *{input_}*"), input_
    for action in {action for _, action in handshake.TRANSITIONS.values()}:
        assert f"- *{action}*:" in PAGE_TEXT, action


def test_the_table_of_channel_states_agrees_with_the_code() -> None:
    assert {(a, b): c for a, b, c in _table("state", "event", "next state")} == channel_records.LIFE


def test_the_table_of_rate_changes_agrees_with_the_code() -> None:
    rows = _table("state", "event", "next state", "action")
    assert {(a, b): (c, d) for a, b, c, d in rows} == states.TRANSITIONS


def test_every_error_code_of_the_page_has_its_class() -> None:
    rows = _table("code", "exit code", "meaning")
    assert {row[0].strip("`") for row in rows} == set(errors._BY_CODE)
    for code, exit_code, _ in rows:
        assert errors.error_for(code.strip("`"), "").exit_code == int(exit_code)


def test_every_constant_is_in_the_page_with_its_value_and_section() -> None:
    rows = {row[0].strip("`"): row for row in _table("name", "value", "kind", "section", "small", "meaning")}
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert rows.keys() == values.keys()
    headings = set(re.findall(r"^#{2,3} ([\d.]+|[A-Z])\.? ", PAGE_TEXT, re.MULTILINE))
    headings = {heading.rstrip(".") for heading in headings}
    for name, value in values.items():
        numbers = tuple(float(number) for number in re.findall(r"[\d.]+", rows[name][1]))
        assert numbers == (value if isinstance(value, tuple) else (float(value),)), name
        assert rows[name][2] in ("fixed", "own")
        assert rows[name][3] in headings, name


def test_every_constant_named_in_the_text_exists() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", PAGE_TEXT))
    assert named <= set(vars(limits)) and len(named) > 30


def test_every_section_that_is_referenced_exists() -> None:
    headings = {heading.rstrip(".") for heading in re.findall(r"^#{2,3} ([\d.]+) ", PAGE_TEXT, re.MULTILINE)}
    referenced = set(re.findall(r"\((\d{1,2}\.\d|[2-9]|10)[),;:]", PAGE_TEXT))
    assert len(referenced) > 15 and referenced <= headings
    in_code = {section for name in ("limits.py",) for section in re.findall(r"section (\d(?:\.\d)?)", _source(name))}
    assert in_code <= headings
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#{2,3} (.*)$", PAGE_TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE_TEXT)) <= anchors


def test_the_table_for_small_endpoints_has_every_section_once() -> None:
    sections = re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", PAGE_TEXT, re.MULTILINE)
    listed: list[str] = []
    for row in _table("section", "a small endpoint"):
        for part in row[0].split(", "):
            first, _, last = part.partition(" to ")
            found = [name for name in sections if name == first or name.startswith(f"{first}.")]
            if last:
                found = sections[sections.index(first) : sections.index(last) + 1]
            listed += found
    with_parts = {name.partition(".")[0] for name in sections if "." in name}
    expected = [name for name in sections if name not in with_parts]
    assert sorted(name for name in listed if name not in with_parts) == sorted(expected)


def _source(name: str) -> str:
    return (PAGE.parent.parent / "linesync" / name).read_text()


# -- a session ---------------------------------------------------------------------------------------------------------


def test_the_session_of_the_page_has_valid_frames_in_a_valid_order() -> None:
    (block,) = _blocks("session")
    sent: list[tuple[str, bytes]] = []
    for line in block[::2]:
        _, sender, text = line.split()
        decoder = Decoder()
        decoder.seeds = ((TO_HUB,), (TO_AGENT,))[sender == "hub"]
        (found,) = [e.frame for e in decoder.receive(text.encode() + b"\n", 0.0) if isinstance(e, FrameFound)]
        sent.append((sender, found.kind))
    assert [pair for pair in sent if pair[1] == b"H"] == [("agent", b"H"), ("hub", b"H")]
    assert sent[-1] == ("agent", b"X")
    assert {kind for _, kind in sent} == {b"H", b"P", b"A", b"c", b"K", b"X"}
    descriptions = "".join(block[1::2])
    for part in ("register", "ok hUb4-Ee1", "sem ready -1", "2 ok 0", "commit 2", "3 ok", "keepalive", AGENT, HUB):
        assert part in descriptions


def test_there_are_two_lanes_named_prompt_and_bulk() -> None:
    assert {lane.name.lower() for lane in Lane} == {"prompt", "bulk"}
