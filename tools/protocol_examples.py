"""Generates parts of docs/protocol.md from the code: the tables of states and errors, and every example.

    python -m tools.protocol_examples            shows where the page and the code differ
    python -m tools.protocol_examples --write    writes the generated parts into the page

A generated part is between ``<!-- made: NAME -->`` and ``<!-- end -->``. The rest of the page is written by hand. The
tests generate every part again, and decode the examples.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from pathlib import Path

from linesync import errors, protocol
from linesync.frozen_record import MISSING
from linesync.model.hosts import members
from linesync.protocol import escaping, operations
from linesync.wire.autobaud import states
from linesync.wire.autobaud.rate_frames import RateFrame, rate_set
from linesync.wire.channels import channel as channel_records
from linesync.wire.channels import compression
from linesync.wire.channels.mux import Mux
from linesync.wire.events import ChannelMessage, Damaged, Echo, Event, ForeignText, FrameFound, SessionUp
from linesync.wire.framing import check, digits, frames, payload, transparency
from linesync.wire.framing.decoder import Decoder
from linesync.wire.framing.frames import Ack, Data, Hello, Lane
from linesync.wire.link import Link
from linesync.wire.reliability import handshake
from linesync.wire.reliability.handshake import LocalParameters

__all__ = ["AGENT", "HUB", "PAGE", "PARTS", "SHORT_FORMS", "differences", "filled", "read_records", "session", "stream"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
AGENT, HUB = "kT4vWq0Z", "R9dLs3uE"  # the nonces of every example
AGENT_BOOT, HUB_BOOT = "Bt7xA2mN", "hUb4-Ee1"
TO_HUB, TO_AGENT = check.session_seed(AGENT, HUB), check.session_seed(HUB, AGENT)
_MARK = re.compile(r"(<!-- made: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def _table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def _fence(kind: str, text: str) -> str:
    return f"```{kind}\n{text.rstrip()}\n```\n"


def _columns(*rows: tuple[str, ...]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def shown(data: bytes) -> str:
    """Bytes in the notation of the page. A printable ASCII character stays unchanged. Every other byte, a backslash, and a
    space at the end become ``\\xNN``."""
    text = "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in data)
    return f"{text[:-1]}\\x20" if text.endswith(" ") else text


# -- tables ------------------------------------------------------------------------------------------------------------


def handshake_table() -> str:
    """The table of all transitions of the handshake."""
    rows = [(state, input_, after, action) for (state, input_), (after, action) in handshake.TRANSITIONS.items()]
    return _table(("state", "input", "next state", "action"), *rows)


def rate_change_table() -> str:
    """The table of all transitions of a change of the baud rate."""
    rows = [(state, input_, after, action) for (state, input_), (after, action) in states.TRANSITIONS.items()]
    return _table(("state", "event", "next state", "action"), *rows)


def channel_state_table() -> str:
    """The table of all transitions of the state of a channel."""
    return _table(("state", "event", "next state"), *((s, e, after) for (s, e), after in channel_records.LIFE.items()))


def error_table() -> str:
    """The table of all errors that a peer may send."""
    rows = []
    for cls in _error_classes():
        meaning = (cls.__doc__ or "").strip().split("\n")[0]
        rows.append((f"`{cls.code}`", str(cls.exit_code), meaning))
    return _table(("code", "exit code", "meaning"), *rows)


def _error_classes() -> Iterator[type[errors.LinesyncError]]:
    for name in errors.__all__:
        cls = getattr(errors, name)
        if (
            isinstance(cls, type)
            and issubclass(cls, errors.LinesyncError)
            and type(errors.error_for(cls.code, "")) is cls
        ):
            yield cls


# -- numbers, checks and payloads --------------------------------------------------------------------------------------


def fixed_examples() -> str:
    numbers = (0, 1, 63, 64, 4095)
    return _fence("fixed", _columns(*((str(n), digits.fixed(n).decode()) for n in numbers)))


def counted_examples() -> str:
    numbers = (0, 1, 31, 32, 127, 1023, 1024, 65536, 1_000_000, (1 << 20) - 1)
    return _fence("counted", _columns(*((str(n), digits.counted(n).decode()) for n in numbers)))


def check_examples() -> str:
    """The frame checks of texts with seed 0 and with the seeds of a session."""
    rows = []
    for text, seed in ((b"123456789", 0), (b"123456789", TO_HUB), (b"KA", TO_HUB), (b"KA", TO_AGENT)):
        crc = frames.crc(text, seed)
        rows.append((text.decode(), f"{seed:08x}", f"{crc:08x}", check.check_text(text, seed).decode()))
    return _fence("check", _columns(*rows))


def seed_examples() -> str:
    pairs = ((AGENT, HUB), (HUB, AGENT))
    return _fence("seed", _columns(*((a, b, f"{check.session_seed(a, b):08x}") for a, b in pairs)))


def base64_examples() -> str:
    samples = (b"", b"\x00", b"f", b"fo", b"foo", b"\xfb\xff\xfe")
    return _fence(
        "base64", _columns(*((data.hex() or "-", payload.encode_base64(data).decode() or "-") for data in samples))
    )


def eight_examples() -> str:
    samples = (b"plain", b"a\nb", b"\r", b"^x", b"=", b"\x00\x11\x7f\xff")
    return _fence("eight", _columns(*((data.hex(), shown(payload.encode_eight(data))) for data in samples)))


def masked_examples() -> str:
    samples = ((b"plain", b""), (b"a\nb", b""), (b"\x11\x13", b""), (b"\x11\x13", b"\x11\x13"), (b"}^}", b""))
    rows = [(data, payload.MaskedForm(harmed).encode(data)) for data, harmed in samples]
    return _fence("masked", _columns(*((data.hex(), shown(text)) for data, text in rows)))


def word_examples() -> str:
    samples = ("boot", "", "a b", "50%", "k=v", "K\u00f6ln", "caf\udce9", "line\n")
    return _fence("word", _columns(*((ascii(text)[1:-1], escaping.quote(text)) for text in samples)))


# -- frames ------------------------------------------------------------------------------------------------------------


def _frame(kind: bytes, body: bytes, seed: int, *fields: tuple[str, object]) -> str:
    text = frames.encode(kind, body, seed)
    name = {0: "0", TO_HUB: f"{AGENT} to {HUB}", TO_AGENT: f"{HUB} to {AGENT}"}[seed]
    rows = [
        ("frame", shown(text[:-1])),
        ("kind", kind.decode()),
        ("seed", f"{seed:08x}, {name}"),
        ("body", shown(body) or "-"),
    ]
    rows += [(key, str(value)) for key, value in fields]
    return _fence("frame", _columns(*rows))


def _hello(hello: Hello) -> str:
    names = ("role", "nonce", "peer", "boot", "flags", "oldest", "newest", "frame", "credit")
    return _frame(frames.HELLO, hello.body(), 0, *((f"{name}:", getattr(hello, name) or "-") for name in names))


def hello_call() -> str:
    return _hello(_agent_hello(""))


def hello_answer() -> str:
    return _hello(
        Hello(oldest=1, newest=1, role="l", nonce=HUB, peer=AGENT, boot=HUB_BOOT, frame=127, credit=65536, flags="nq")
    )


def _agent_hello(peer: str) -> Hello:
    return Hello(
        oldest=1, newest=1, role="c", nonce=AGENT, peer=peer, boot=AGENT_BOOT, frame=127, credit=2048, flags=""
    )


def frame_keep() -> str:
    return _frame(frames.KEEP, b"", TO_HUB)


def frame_poll() -> str:
    return _frame(frames.POLL, frames.poll_body(1), TO_HUB, ("poll:", 1))


def frame_ack() -> str:
    ack = Ack(age=3, poll=1, prompt=(7, ()), bulk=(4094, ((1, 2), (3, 40))))
    fields = [("age:", ack.age), ("poll:", ack.poll)]
    return _frame(frames.ACK, ack.body(), TO_AGENT, *fields, ("prompt:", _lane(ack.prompt)), ("bulk:", _lane(ack.bulk)))


def frame_short() -> str:
    return _frame(frames.SHORT_ACK, frames.short_ack_body(7, 4094), TO_AGENT, ("prompt:", 7), ("bulk:", 4094 % 64))


def _lane(lane: tuple[int, tuple[tuple[int, int], ...]]) -> str:
    expected, ranges = lane
    return " ".join([f"next {expected}", *(f"missing {missing} received {received}" for missing, received in ranges)])


def frame_bye() -> str:
    reason = "the agent was stopped"
    return _frame(frames.BYE, payload.encode_base64(reason.encode()), TO_HUB, ("reason:", reason))


def frame_probe() -> str:
    size = 100
    return _frame(frames.PROBE, frames.probe_body(size), TO_HUB, ("size:", size))


def tried_groups() -> str:
    names = (
        "ask to read bytes unchanged",
        "other control characters",
        "NUL and DEL",
        "XOFF, and immediately XON",
        "characters that a tty uses for signals and editing",
        "control characters with the eighth bit",
        "XOFF and XON with the eighth bit",
        "all other bytes with the eighth bit",
        "the byte that a tty doubles, or marks parity errors with",
    )
    rows = [(str(group), _ranges(data), name) for group, (data, name) in enumerate(zip(_GROUPS, names, strict=True))]
    return _table(("group", "bytes, in this order", "meaning"), *rows, ("31", "", "ask to read as before"))


_GROUPS = (b"", *transparency.GROUPS)


def _ranges(data: bytes) -> str:
    """Bytes in hex. Consecutive values are written as a range."""
    runs: list[list[int]] = []
    for byte in data:
        if runs and byte == runs[-1][-1] + 1:
            runs[-1].append(byte)
        else:
            runs.append([byte])
    return ", ".join(f"{run[0]:02X}" + (f"-{run[-1]:02X}" if len(run) > 1 else "") for run in runs)


def frame_try() -> str:
    return _frame(frames.TRY, frames.try_body(3, transparency.GROUPS[2]), TO_HUB, ("group:", 3))


def frame_tried() -> str:
    return _frame(frames.TRIED, frames.tried_body(3), TO_AGENT, ("group:", 3))


def frame_probed() -> str:
    return _frame(frames.PROBED, frames.probed_body(256), TO_AGENT, ("size:", 256))


def _rate(frame: RateFrame, seed: int, **value: object) -> str:
    fields = {"step": frame.step, "number": frame.number, "rate": frame.rate, **value}
    return _frame(frames.RATE, frame.body(), seed, *((f"{name}:", text) for name, text in fields.items()))


def frame_ask() -> str:
    takes = (115200, 230400, 921600)
    frame = RateFrame(step="a", number=1, rate=230400, value=rate_set(frozenset(takes)))
    return _rate(frame, TO_HUB, takes=", ".join(map(str, takes)))


def frame_report() -> str:
    return _rate(RateFrame(step="r", number=1, rate=230400, value=11), TO_AGENT, came=11)


def _data(lane: Lane, *, eight: bool, data: bytes) -> str:
    body = frames.data_body(5, 4095, data, eight=eight)
    kind = frames.data_kind(lane, eight=eight)
    return _frame(kind, body, TO_HUB, ("seq:", 5), ("ack:", 4095), ("payload:", shown(data)))


def frame_prompt() -> str:
    return _data(Lane.PROMPT, eight=False, data=_record(b"m", 0, b"1 hosts"))


def frame_prompt_eight() -> str:
    return _data(Lane.PROMPT, eight=True, data=_record(b"m", 0, b"1 sem a^b 1"))


def frame_bulk() -> str:
    return _data(Lane.BULK, eight=False, data=_record(b"1", 3, b"hello\n"))


def frame_masked() -> str:
    return _masked(Lane.BULK, _record(b"1", 3, b"^hello\n"))


def frame_prompt_masked() -> str:
    return _masked(Lane.PROMPT, _record(b"m", 0, b"1 sem a^b 1"))


def _masked(lane: Lane, data: bytes) -> str:
    body = frames.masked_body(lane, 5, 4095, data, payload.MaskedForm().encode(data))
    fields = [("seq:", 5), ("ack:", 4095)]
    check = [("second check:", frames.second_check(data).decode())] if lane is Lane.BULK else []
    return _frame(frames.data_kind(lane, masked=True), body, TO_HUB, *fields, *check, ("payload:", shown(data)))


def frame_eight() -> str:
    return _data(Lane.BULK, eight=True, data=_record(b"1", 3, b"^hello\n"))


# -- records -----------------------------------------------------------------------------------------------------------


def _record(kind: bytes, channel: int, body: bytes) -> bytes:
    return kind + digits.counted(channel) + digits.counted(len(body)) + body


def read_records(data: bytes) -> list[tuple[str, int, bytes]]:
    """The records of a well-formed payload: (kind, channel, body)."""
    records, position = [], 0
    while position < len(data):
        kind = data[position : position + 1].decode()
        channel, position = digits.read_counted(data, position + 1)
        length, position = digits.read_counted(data, position)
        records.append((kind, channel, data[position : position + length]))
        position += length
    return records


def record_examples() -> str:
    samples = (
        (b"m", 0, b"1 hosts"),
        (b"o", 3, b"run sut uname -r"),
        (b"p", 3, b"run sut una"),
        (b"1", 3, b"6.1.0\n"),
        (b"f", 0, b"2 ok first part of"),
        (b"w", 3, digits.counted(1024)),
        (b"e", 3, b""),
        (b"x", 36, b"no"),
    )
    rows = []
    for kind, channel, body in samples:
        rows.append((shown(_record(kind, channel, body)), kind.decode(), str(channel), shown(body) or "-"))
    return _fence("record", _columns(*rows))


def preset_text() -> str:
    text = compression.PRESET.decode()
    return _fence("text", "\n".join(f'"{text[start : start + 100]}"' for start in range(0, len(text), 100)))


SHORT_FORMS = (  # in hex; another implementation of deflate may produce different bytes with the same meaning
    "4d414e32049345a98929950aba860000",
    "8010",
    "80d012c1",
    "4d41493236300029310000",
    "8111",
    "4d414842e83036300400",
    "8220",
)
"""Payloads of one lane, in order. A receiver can decode each of them only after the earlier ones."""


def short_form_examples() -> str:
    mux = Mux(odd=True, send_credit=2048, receive_window=2048, expand=True)
    rows = []
    for payload_ in SHORT_FORMS:
        assert mux.receive(Lane.PROMPT, bytes.fromhex(payload_)), payload_
        rows += [(payload_, shown(event.data)) for event in mux.events if isinstance(event, ChannelMessage)]
        mux.events = []
    return _fence("short-form", _columns(*rows))


def operation_table() -> str:
    """The table of all operations, from ``OPERATIONS``."""
    rows = []
    for row in operations.OPERATIONS:
        fields = row.message.FIELDS.items()
        needed = [name + "..." * kind.startswith("tuple") for name, (kind, default) in fields if default is MISSING]
        options = [_option(name, default) for name, (_, default) in fields if default is not MISSING]
        form = f"in {', '.join(f'`{opening.VERB}`' for opening in row.inside)}" if row.inside else row.kind
        lane = f", {row.lane}" if row.kind == operations.OPENING else ""
        ends = f"{_end_names(row.senders)}, {_end_names(row.receivers)}" if len(row.senders) < 3 else "either"
        texts = (
            f"`{row.message.VERB}`",
            form + lane,
            ends,
            row.permission,
            " ".join(needed),
            " ".join(options),
            row.answer,
        )
        rows.append(texts)
    return _table(("verb", "as", "sent by, to", "permission", "fields", "options", "answer"), *rows)


def _end_names(ends: tuple[str, ...]) -> str:
    """The names of the ends that may send or receive an operation. A script is called a client. An agent that acts for itself
    is also called a client if a script may act in the same way."""
    both = {operations.SCRIPT, operations.AGENT} <= set(ends)
    names = ["client" if end == operations.SCRIPT else end for end in ends if not (both and end == operations.AGENT)]
    return " or ".join(names)


def _option(name: str, default: object) -> str:
    if default is None:
        return f"{name}=-"
    return f"{name}={'' if default in ('', ()) else int(default) if isinstance(default, bool) else default}"


def message_examples() -> str:
    samples: tuple[protocol.Message, ...] = (
        protocol.Register(name="sut", boot=AGENT_BOOT, capabilities=("kvm", "usb"), published=("ip=10.0.0.7",)),
        protocol.Continue(hub=HUB, own=AGENT),
        protocol.Semaphore(name="ready", delta=-1, timeout=5.0),
        protocol.Semaphore(name="slots", delta=-2, arrival="x7", Hold=True, Bound=4),
        protocol.Barrier(name="boot phase", count=3, ns="nightly", member="sut#1"),
        protocol.Barrier(name="up", count=0, timeout=60.0, Members="hub,sut[1-2]#1", Tolerate=True),
        protocol.Barrier(name="up", count=0, Members="hub,sut[1-2]", Abort="flash failed"),
        protocol.Lock(name="flash", arrival="x8"),
        protocol.Unlock(name="flash", token=1700000000001),
        protocol.GiveBack(arrival="x8"),
        protocol.EventSet(names=("server up",)),
        protocol.EventWait(names=("passed", "failed"), timeout=30.0, Any=True),
        protocol.Send(topic="ready", items=("ip=10.0.0.7", "port=5001")),
        protocol.Receive(topic="ready", first=1, within="x8", Others=True),
        protocol.ReceiveAll(topic="ready", Role="client"),
        protocol.GroupJoin(name="cluster", Terms='{"quorum":2}', Services='[{"id":1,"name":"disk"}]'),
        protocol.GroupNext(member=7, after=17, done=17),
        protocol.GroupNext(member=7, after=19, done=19, result="failed", text="no disk"),
        protocol.GroupCast(member=7, epoch=12, data="thello"),
        protocol.GroupPost(name="cluster", data="thello", tag="2"),
        protocol.GroupAnnounce(member=7, services='[{"id":2,"name":"web","version":"1.4"}]'),
        protocol.GroupMembers(name="cluster", count=3, timeout=60.0),
        protocol.GroupRerun(name="cluster", service=2),
        protocol.GroupStop(name="cluster"),
        protocol.GroupShow(name="cluster"),
        protocol.GroupLeave(name="cluster", tag="2"),
        protocol.Reset(names=("up", "flash")),
        protocol.NamespaceBegin(name="@Ab3dE6gH", pid=812, begin="48211", command="bash test.sh", watched=True),
        protocol.NamespaceEnd(name="@Ab3dE6gH"),
        protocol.OwnerGone(pid=812, begin="48211"),
        protocol.ExchangeOpen(name="keys", members="hub,sut[1-2]", size=11, arrival="x9"),
        protocol.ExchangePart(member="hub", size=11, total=40),
        protocol.Commit(request="2"),
        protocol.Confirm(request="2"),
        protocol.Withdraw(request="2.7"),
        protocol.Revoked(client="7", arrival="x8", why="lock 'flash' was reset by hub"),
        protocol.Concurrent(),
        protocol.Activity(),
        protocol.GoingDown(),
        protocol.ClientGone(client="7"),
        protocol.Note(text="waiting for the hub"),
        protocol.Drain(timeout=600.0),
        protocol.Lease(),
        protocol.Hosts(),
        protocol.Status(),
        protocol.Namespaces(),
        protocol.PolicyCheck("sut", "hub", "run"),
        protocol.Links(),
        protocol.Run(to="sut", argv=("sh", "-c", "echo 1 2"), env='{"A": "b"}', stdin=True, tell=True),
        protocol.Run(to="sut", argv=("vim",), env='{"TERM": "xterm"}', tell=True, Terminal="80x24"),
        protocol.Run(to="sut", argv=("make", "all"), Detach=True, id=4894062),
        protocol.Processes(to="sut"),
        protocol.Attach(to="sut", number=3, output=True, follow=True, since=4096),
        protocol.SignalProcess(to="sut", number=3, signal=15),
        protocol.FileRead(to="sut", path="/etc/hostname"),
        protocol.FileWrite(to="sut", path="/tmp", name="a file", size=3, mode=0o755),
        protocol.FileWrite(to="sut", path="/dev/mmcblk0", name="card.img", size=3, Device=1),
        protocol.FilesRead(to="sut", paths=("/etc", "~/notes"), Recursive=True, Preserve=True),
        protocol.FilesWrite(to="sut", path="/tmp", names=("tests", "."), Recursive=True, Into=True, tell=True),
        protocol.ConsoleOpen(host="sut", follow=True),
        protocol.TraceOpen(host="/dev/ttyS0"),
        protocol.ChangesOpen(),
        protocol.Started(pid=812),
        protocol.Exited(status=-9),
        protocol.Detached(number=3, pid=812),
        protocol.At(position=4096, dropped=1024),
        protocol.Kill(signal=15),
        protocol.Resize(columns=100, rows=40),
        protocol.Connect(to="sut", address="localhost:22"),
        protocol.Connected(),
        protocol.Listen(to="sut", address="unix:/run/test/bus"),
        protocol.Listening(listener="x3Gh_9aZ", address="unix:/run/test/bus"),
        protocol.Accepted(number=1),
        protocol.Accept(to="sut", listener="x3Gh_9aZ", number=1),
        protocol.RefuseConnection(number=2),
        protocol.Widen(key="Qm4-7bTs"),
        protocol.Wide(to="sut", key="Qm4-7bTs"),
        protocol.Turn(),
        protocol.DataEnd(),
        protocol.Received(position=65536),
        protocol.FileHead(size=3, mode=420),
        protocol.FileGot(size=2),
        protocol.FileEnd(sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    )
    return _fence("message", "".join(protocol.encode(message) + "\n" for message in samples))


def reply_examples() -> str:
    timeout = errors.TimedOut("the deadline passed", details={"value": 0, "wanted": 1})
    topic_messages = json.dumps([[1, "sut", ["ip=10.0.0.7", "port=5001"]]], separators=(",", ":"))
    texts = (
        "2 " + protocol.encode_ok("0"),
        "3 " + protocol.encode_ok("1", "2", "hub", "sut1", lost=("sut2",)),
        "4 " + protocol.encode_error(timeout),
        "5 " + protocol.encode_ok("1", "3", "8*"),
        "6 " + protocol.encode_ok(topic_messages),
        "7 " + protocol.encode_ok(),
        "8 " + protocol.encode_ok("0.25", lease="5"),
    )
    return _fence("reply", "\n".join(texts))


FOLDED = ("hub", "sut[1-3]", "sut[1,3]#[1-2],hub", "n[08-11]", "rack[1-2]n[01-02]")
"""Lists of members that a reader must accept."""


def folded_examples() -> str:
    return _fence("folded", _columns(*((text, " ".join(members.unfold(text))) for text in FOLDED)))


# -- streams -----------------------------------------------------------------------------------------------------------


def stream(data: bytes, decoder: Decoder, chunk: int) -> tuple[list[str], bytes, bytes]:
    """Decode a complete stream.

    :param chunk: the size in bytes of the pieces in which the decoder gets the stream.
    :return: the frames and echoes as texts, the foreign text, and the damaged pieces.
    """
    events = [
        event for start in range(0, len(data), chunk) for event in decoder.receive(data[start : start + chunk], 0.0)
    ]
    events += decoder.receive_eof()
    found: list[str] = []
    text = damaged = b""
    for event in events:
        if isinstance(event, FrameFound):
            found.append(f"{event.frame.kind.decode()} {shown(event.frame.body)}".rstrip())
        elif isinstance(event, Echo):
            found.append(f"echo {event.length}")
        elif isinstance(event, ForeignText):
            text += event.data
        elif isinstance(event, Damaged):
            damaged += event.data
    return found, text, damaged


def stream_examples() -> str:
    """Foreign text around frames and inside them, and a frame inside a frame."""
    poll = frames.encode(frames.POLL, frames.poll_body(1), TO_AGENT)
    bulk = frames.encode(b"d", frames.data_body(0, 0, _record(b"1", 3, b"hi"), eight=False), TO_AGENT)
    echo = frames.encode(frames.KEEP, b"", TO_HUB)
    printk = b"[ 1.5] usb 1-1\r\n"
    samples = (
        ("text before a frame, and the line changed the newline to CR LF", b"login: " + poll[:-1] + b"\r\n"),
        ("a kernel line inside a frame", bulk[:9] + printk + bulk[9:]),
        ("a control frame inside a bulk frame", bulk[:9] + poll + bulk[9:]),
        ("an echo of our own frame, then a frame of the peer", echo + poll),
        ("a frame whose fourth byte from the end is damaged, then a valid frame", poll[:-4] + b"?" + poll[-3:] + poll),
        ("a frame without its newline", poll[:-1] + poll),
    )
    rows = []
    for title, data in samples:
        decoder = Decoder()
        decoder.seeds, decoder.echo_seeds = (TO_AGENT,), (TO_HUB,)
        found, text, damaged = stream(data, decoder, len(data))
        rows += [f"# {title}", f"stream  {shown(data)}", *(f"frame   {frame}" for frame in found)]
        rows += [f"text    {shown(text)}"] if text else []
        rows += [f"damaged {shown(damaged)}"] if damaged else []
    return _fence("stream", "\n".join(rows))


# -- a whole session ---------------------------------------------------------------------------------------------------

_RATE = 11520.0  # bytes a second: 115200 baud, 8N1


class _SessionSimulation:
    """Simulates an agent and a hub on a serial line, and records each sent frame with its time and its sender."""

    def __init__(self) -> None:
        self.now = 0.0
        self._partial = {"agent": bytearray(), "hub": bytearray()}
        self.sent_frames: list[tuple[float, str, bytes]] = []
        self._frame_began_at = dict.fromkeys(self._partial, 0.0)
        self._scheduled: list[tuple[float, int, Callable[[], None]]] = []
        nonces = {"agent": iter((AGENT, "unusedA1", "unusedA2")), "hub": iter((HUB, "unusedH1", "unusedH2"))}
        agent = LocalParameters(role="c", boot=AGENT_BOOT, frame=127, credit=2048, flags="")
        hub = LocalParameters(role="l", boot=HUB_BOOT, frame=127, credit=65536, flags="nq")
        self.links = {
            "agent": Link(agent, lambda: next(nonces["agent"])),
            "hub": Link(hub, lambda: next(nonces["hub"])),
        }
        for link in self.links.values():
            link.line_up(0.0, byte_rate=_RATE, shared=True)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heappush(self._scheduled, (self.now + delay, len(self.sent_frames) * 1000 + len(self._scheduled), callback))

    def send_message(self, name: str, text: str) -> None:
        self.links[name].mux.send_message(0, text.encode())

    def run(self, until: float) -> None:
        while self.now < until:
            for name, link in self.links.items():
                self._transmit(name, link.data_to_send(self.now))
            times = [link.next_timer(self.now) for link in self.links.values()]
            times += [self._scheduled[0][0]] if self._scheduled else []
            self.now = max(min((time for time in times if time is not None), default=until), self.now + 1e-6)
            self.now = min(self.now, until)
            while self._scheduled and self._scheduled[0][0] <= self.now:
                heappop(self._scheduled)[2]()
            for name, link in self.links.items():
                self._received(name, link.handle_timer(self.now))

    def _transmit(self, name: str, data: bytes) -> None:
        if not data:
            return
        partial = self._partial[name]
        if not partial:
            self._frame_began_at[name] = self.now
        partial += data
        while b"\n" in partial:
            frame, _, rest = bytes(partial).partition(b"\n")
            self.sent_frames.append((self._frame_began_at[name], name, frame))
            partial[:] = rest
            self._frame_began_at[name] = self.now
        other = "hub" if name == "agent" else "agent"
        self.call_later(
            len(data) / _RATE, lambda: self._received(other, self.links[other].receive_data(data, self.now))
        )

    def _received(self, name: str, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SessionUp) and name == "agent":
                self.send_message("agent", f"1 {protocol.encode(protocol.Register(name='sut', boot=AGENT_BOOT))}")
            elif isinstance(event, ChannelMessage):
                self.links[name].mux.consumed(0, event.data)
                self._answer(name, event.data.decode())

    def _answer(self, name: str, text: str) -> None:
        number, _, rest = text.partition(" ")
        if rest.startswith("register"):
            self.send_message("hub", f"{number} {protocol.encode_ok(HUB_BOOT)}")
        elif rest.startswith("sem"):
            self.call_later(0.3, lambda: self.send_message("hub", f"{number} {protocol.encode_ok('0')}"))
        elif rest.startswith("commit"):
            self.send_message("hub", f"{number} {protocol.encode_ok()}")
        elif name == "agent" and number == "1":
            request = protocol.encode(protocol.Semaphore(name="ready", delta=-1, timeout=5.0))
            self.call_later(0.5, lambda: self.send_message("agent", f"2 {request}"))
        elif name == "agent" and number == "2":
            self.send_message("agent", f"3 {protocol.encode(protocol.Commit(request='2'))}")


def session() -> list[tuple[float, str, bytes]]:
    """The frames of a short session: (seconds since its start, sender, frame without its newline)."""
    simulation = _SessionSimulation()
    simulation.run(5.0)
    simulation.links["agent"].close("the agent was stopped")
    simulation.run(5.1)
    return simulation.sent_frames


def explain(frame: bytes) -> str:
    """A description in words of a frame of an example."""
    length, position = digits.read_counted(frame, 2)
    kind, body = frame[1:2], frame[position : position + length]
    if kind in frames.DATA_KINDS:
        data = frames.read_data(kind, body)
        assert isinstance(data, Data)
        records = ", ".join(f'{kind} {channel} "{shown(body)}"' for kind, channel, body in read_records(data.payload))
        return f"{data.lane.name.lower()} {data.seq}, next expected {data.ack}: {records}"
    if kind == frames.HELLO:
        hello = Hello.read(body)
        assert hello is not None
        who = "caller" if hello.role == "c" else "listener"
        return f"hello of the {who} {hello.nonce}" + (f" to {hello.peer}" if hello.peer else ", which has no peer yet")
    if kind == frames.ACK:
        ack = Ack.read(body)
        assert ack is not None
        return f"ack of poll {ack.poll}, age {ack.age} ms; prompt {_lane(ack.prompt)}, bulk {_lane(ack.bulk)}"
    if kind == frames.POLL:
        return f"poll {frames.read_poll(body)}"
    if kind == frames.BYE:
        return f"bye: {(payload.decode_base64(body) or b'').decode()}"
    return {frames.KEEP: "keepalive"}[kind]


def session_example() -> str:
    rows = []
    for seconds, sender, frame in session():
        rows += [f"{seconds:.3f} {sender:5} {frame.decode()}", f"            {explain(frame)}"]
    return _fence("session", "\n".join(rows))


# -- the page ----------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "handshake": handshake_table,
    "channel-life": channel_state_table,
    "climbing": rate_change_table,
    "rate-ask": frame_ask,
    "rate-report": frame_report,
    "errors": error_table,
    "operations": operation_table,
    "fixed": fixed_examples,
    "counted": counted_examples,
    "check": check_examples,
    "seed": seed_examples,
    "base-sixty-four": base64_examples,
    "eight": eight_examples,
    "masked": masked_examples,
    "groups": tried_groups,
    "try": frame_try,
    "tried": frame_tried,
    "word": word_examples,
    "hello-call": hello_call,
    "hello-answer": hello_answer,
    "keep": frame_keep,
    "poll": frame_poll,
    "ack": frame_ack,
    "short": frame_short,
    "bye": frame_bye,
    "probe": frame_probe,
    "probed": frame_probed,
    "prompt": frame_prompt,
    "prompt-eight": frame_prompt_eight,
    "bulk": frame_bulk,
    "bulk-eight": frame_eight,
    "prompt-masked": frame_prompt_masked,
    "bulk-masked": frame_masked,
    "record": record_examples,
    "preset": preset_text,
    "short-forms": short_form_examples,
    "message": message_examples,
    "reply": reply_examples,
    "folded": folded_examples,
    "stream": stream_examples,
    "session": session_example,
}


def filled(page: str) -> str:
    """The page with all its parts generated again.

    :raises KeyError: the page names a part that does not exist.
    """
    return _MARK.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}{match[4]}", page)


def differences(page: str) -> list[str]:
    """The lines of a diff from the page to the generated page; empty if they are equal."""
    return list(difflib.unified_diff(page.splitlines(), filled(page).splitlines(), "page", "code", lineterm="", n=1))


def main() -> int:
    page = PAGE.read_text()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(filled(page))
        return 0
    found = differences(page)
    print("\n".join(found) or "docs/protocol.md agrees with the code")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
