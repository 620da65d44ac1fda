"""The smallest endpoint that docs/protocol.md, appendix A, allows. Its only source was that page, and it imports no linesync
code.

    minimal_endpoint.py PATH NAME REQUEST...

PATH is a hub's socket (``*.sock``) or a tty. The endpoint registers as NAME, sends each REQUEST, prints each reply and ends
the session. Without a REQUEST it stays registered until it is terminated. In the meantime it answers the hub's requests. If
the hub restarts, it registers again and repeats the open request.
"""

import binascii
import os
import re
import select
import socket
import sys
import time
import tty
import zlib

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CALL_FAST, CALL_SLOW, CALL_FAST_COUNT = 0.2, 1.0, 25
SILENCE, FIRST_RTT, QUIET_AFTER, POLL_IDLE, FRAME, CREDIT, GRANT, PIECE = 3.0, 0.5, 1.0, 7.5, 127, 256, 128, 48
KEEPALIVE_CALLER, KEEPALIVE_PIPE = 2.8, 8.0


def fixed(number):
    return bytes((ALPHABET[number >> 6], ALPHABET[number & 63]))


def read_fixed(text, at):
    return ALPHABET.index(text[at]) << 6 | ALPHABET.index(text[at + 1])


def counted(*numbers):
    text = b""
    for number in numbers:
        digits = [number & 31]
        while number := number >> 5:
            digits.insert(0, number & 31 | 32)
        text += bytes(ALPHABET[digit] for digit in digits)
    return text


def read_counted(text, count, at=0, most=4):
    """The numbers, and the offset after them.

    :raises ValueError: the text is malformed.
    :raises IndexError: the text ends too early.
    """
    numbers = []
    for _ in range(count):
        value, digit, start = 0, 32, at
        while digit >= 32:
            digit = ALPHABET.index(text[at])
            value, at = value << 5 | digit & 31, at + 1
            if (value == 0 and digit == 32) or at - start > most:
                raise ValueError("malformed number")
        numbers.append(value)
    return *numbers, at


def read_credit(body):
    try:
        return read_counted(body, 1, 0, 6)[0]
    except (ValueError, IndexError):
        return 0


def read_ack(body):
    """The number of the poll, and the next number of each lane; None if the ack is malformed or has ranges."""
    lanes = re.fullmatch(rb"([\w-]{2,5})([\w-]{2})A([\w-]{2})A", body)  # ranges need more than one frame in flight
    try:
        _, poll, end = read_counted(lanes[1] if lanes else b"", 2)
    except (ValueError, IndexError):
        return None
    return (poll, read_fixed(lanes[2], 0), read_fixed(lanes[3], 0)) if end == len(lanes[1]) else None


def base64(data):
    return binascii.b2a_base64(data, newline=False).translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"=")


def unbase64(text):
    return binascii.a2b_base64(text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4))


def frame(kind, body, seed):
    covered = kind + counted(len(body)) + body
    return b"^" + covered + base64(zlib.crc32(covered, seed).to_bytes(4, "big")) + b"\n"


def record(kind, channel, body):
    return kind + counted(channel, len(body)) + body


class Endpoint:
    def __init__(self, write, name="", keepalive=KEEPALIVE_CALLER, clock=time.monotonic, random=os.urandom):
        self.write, self.name, self.keepalive, self.clock, self.random = write, name, keepalive, clock, random
        self.buffer, self.sessions, self.problem, self.boot = b"", 0, "", base64(random(6)).decode()
        self.sent_last_at = 0.0
        self.end_session(0.0)

    def end_session(self, call_at):
        self.peer, self.seed_in, self.nonce = "", 0, base64(self.random(6)).decode()
        self.calls, self.next_call_at = 0, call_at

    def begin_session(self, peer, credit):
        self.peer, self.credit, self.sessions = peer, credit, self.sessions + 1
        self.seed_out = zlib.crc32((self.nonce + peer).encode())
        self.seed_in = zlib.crc32((peer + self.nonce).encode())
        self.expected = {b"c": 0, b"d": 0}
        self.seq, self.queue, self.sent_at, self.refused = 0, [], None, set()
        self.poll, self.peer_poll, self.newest_at = 0, 0, 0.0
        self.partial_message, self.consumed, self.replies = b"", 0, []
        self.send_message(f"1 register {self.name} {self.boot}")
        self.note_received()

    def note_received(self):
        was_quiet, self.next_call_at, self.calls = self.next_call_at is not None, None, 0
        self.received_at, self.first_poll_at = self.clock(), None
        if was_quiet:
            self.polled_at = None
            self.send_poll()

    def send(self, kind, body, seed):
        self.sent_last_at = self.clock()
        self.write(frame(kind, body, seed))

    def send_message(self, text):
        text = text.encode()
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        self.queue += [record(b"f", 0, piece) for piece in pieces[:-1]] + [record(b"m", 0, pieces[-1])]

    def ack(self):
        age = min(int((self.clock() - self.newest_at) * 1000), 1023)
        prompt, bulk = (fixed(expected) + counted(0) for expected in self.expected.values())
        self.send(b"A", counted(age, self.peer_poll) + prompt + bulk, self.seed_out)

    def send_poll(self):
        self.poll, self.polled_at = self.poll % 31 + 1, self.clock()
        self.first_poll_at = self.first_poll_at or self.polled_at  # the first of the polls without an answer
        self.send(b"P", counted(self.poll), self.seed_out)

    def transmit(self):
        self.sent_at = self.clock()
        self.send(b"c", fixed(self.seq) + fixed(self.expected[b"c"]) + base64(self.queue[0]), self.seed_out)

    def frames(self, data):
        """Yield the complete frames; drop foreign text and damaged frames."""
        self.buffer += bytes(byte & 127 for byte in data if byte & 127 not in (0, 17, 19, 127))
        while b"^" in self.buffer:
            text = self.buffer = self.buffer[self.buffer.index(b"^") :]
            try:
                length, at = read_counted(text, 1, 2)
                end = at + length + 6
                kind, body = text[1:2], text[at : at + length]
                if not kind.isalpha() or end > FRAME or b"^" in text[1:end]:
                    raise ValueError  # without flag n, no frame is inside another frame
                if len(text) < end:
                    return
                if text[:end] != frame(kind, body, 0 if kind == b"H" else self.seed_in)[:-1]:
                    raise ValueError
                self.buffer = text[end:]
                yield kind, body
            except ValueError:
                self.buffer = text[1:]
            except IndexError:
                return  # the header is not complete
        self.buffer = b""

    def receive(self, data):
        for kind, body in self.frames(data):
            if kind == b"H":
                self.receive_hello(body)
            elif self.peer:
                self.note_received()
                try:
                    self.receive_frame(kind, body)
                except (ValueError, IndexError) as error:
                    if kind in b"Acd":
                        self.send(b"X", base64(str(error).encode()[:40]), self.seed_out)
                        self.end_session(self.clock() + CALL_SLOW)

    def receive_hello(self, body):
        try:
            role, nonce, peer, boot, flags, numbers = body.decode().split(".")[:6]
            oldest, newest, longest, credit, _ = read_counted(numbers.encode(), 4)
        except (ValueError, IndexError):
            return
        sizes_right = len(nonce) == len(boot) == 8 and longest >= 127 and credit >= 64 and oldest <= newest
        alive = self.peer and self.next_call_at is None and self.clock() - self.received_at < SILENCE  # section 4.4
        if role != "l" or peer != self.nonce or nonce == self.nonce or not sizes_right:
            return
        if not oldest <= 1 <= newest or any(flag.isupper() for flag in flags):
            self.problem = (
                f"the hub has the protocol versions {oldest} to {newest} and the flags {flags}, this end version 1"
            )
        elif nonce == self.peer:
            self.note_received()
            self.ack()
        elif not alive:
            self.begin_session(nonce, credit)

    def receive_frame(self, kind, body):
        if kind == b"P":
            self.newest_at = self.clock()
            digit = ALPHABET.find(body)
            self.peer_poll = digit if len(body) == 1 and 1 <= digit <= 31 else self.peer_poll
            self.ack()
        elif kind == b"A":
            ack = read_ack(body)
            if ack is None:
                return  # a malformed ack is ignored
            poll, expected, _ = ack
            self.receive_ack(expected)
            if poll == self.poll and self.polled_at is not None:
                if self.sent_at is not None and self.sent_at <= self.polled_at:
                    self.transmit()  # it was sent before the poll, and the answer does not acknowledge it: it was lost
                self.polled_at = None
        elif kind in (b"c", b"d"):
            self.newest_at = self.clock()
            if kind == b"c":
                self.receive_ack(read_fixed(body, 2))
            payload = unbase64(body[4:])
            if read_fixed(body, 0) == self.expected[kind]:
                self.expected[kind] = (self.expected[kind] + 1) % 4096
                self.receive_records(payload)
            self.ack()
        elif kind == b"X":
            self.end_session(self.clock() + CALL_SLOW)

    def receive_ack(self, expected):
        ahead = (expected - self.seq) % 4096
        if ahead == 1 and self.sent_at is not None:
            self.seq, self.sent_at = expected, None
            del self.queue[0]
        elif 1 <= ahead < 2048:
            raise ValueError("acknowledgement of a payload that was never sent")

    def receive_records(self, payload):
        at = 0
        while at < len(payload):
            kind = payload[at : at + 1]
            channel, length, at = read_counted(payload, 2, at + 1)
            body, at = payload[at : at + length], at + length
            if len(body) < length or (channel == 0 and kind not in (b"m", b"f", b"w")):
                raise ValueError("malformed record")
            if kind in (b"o", b"p"):
                if (self.nonce > self.peer) == (channel % 2 == 1):
                    raise ValueError("opening of a channel of this end")
                if channel not in self.refused:
                    self.queue.append(record(b"x", channel, b"this endpoint serves nothing"))
                self.refused = self.refused | {channel} if kind == b"p" else self.refused - {channel}
            elif channel == 0 and kind == b"w":
                self.credit += read_credit(body)
            elif channel == 0:
                self.partial_message, self.consumed = self.partial_message + body, self.consumed + length + 4
                if self.consumed > CREDIT:
                    raise ValueError("message beyond the credit")
                if self.consumed >= GRANT:
                    self.queue.append(record(b"w", 0, counted(self.consumed)))
                    self.consumed = 0
                if kind == b"m":
                    message, self.partial_message = self.partial_message.decode(errors="replace"), b""
                    self.receive_message(message)

    def receive_message(self, text):
        number, _, rest = text.partition(" ")
        verb = rest.split(" ")[0]
        if verb in ("ok", "err"):
            self.replies.append(text)
        elif number not in ("-", "") and verb:  # no script runs here, so the answer to activity is 0
            is_activity = verb == "activity"
            self.send_message(f"{number} ok 0" if is_activity else f"{number} err failed not%20known%20here")

    def tick(self):
        now = self.clock()
        if self.next_call_at is not None:
            if now >= self.next_call_at:
                texts = f"c.{self.nonce}.{self.peer}.{self.boot}.."
                self.send(b"H", texts.encode() + counted(1, 1, FRAME, CREDIT), 0)
                self.calls += 1
                self.next_call_at = now + (CALL_FAST if self.calls < CALL_FAST_COUNT else CALL_SLOW)
            return
        waits_since = self.polled_at or self.sent_at
        if self.first_poll_at is not None and now - self.first_poll_at > QUIET_AFTER:
            self.first_poll_at, self.next_call_at = None, now  # the line is quiet, so call with both nonces
        elif now - (waits_since or self.received_at) > (FIRST_RTT if waits_since else POLL_IDLE):
            self.send_poll()
        cost = read_counted(self.queue[0], 2, 1)[1] + 4 if self.queue and self.queue[0][:1] in b"mf" else 0
        if self.queue and self.sent_at is None and cost <= self.credit:
            self.credit -= cost
            self.transmit()
        if now - self.sent_last_at > self.keepalive:
            self.send(b"K", b"", self.seed_out)


def main(path, name, *requests):
    if path.endswith(".sock"):
        pipe = socket.socket(socket.AF_UNIX)
        pipe.connect(path)
        line = pipe.detach()
    else:
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(line)
    keepalive = KEEPALIVE_PIPE if path.endswith(".sock") else KEEPALIVE_CALLER
    end = Endpoint(lambda data: os.write(line, data), name, keepalive)

    def run_until(done):
        while not done():
            if end.problem:
                print(end.problem, file=sys.stderr)
                end.problem = ""
            end.tick()
            if select.select([line], [], [], 0.02)[0]:
                end.receive(os.read(line, 4096) or sys.exit("the line was closed"))

    def register():
        run_until(lambda: end.peer and end.replies)
        return end.sessions, end.replies.pop(0).removeprefix("1 ")

    def ask(number, request):
        nonlocal session
        end.send_message(f"{number} {request}")
        run_until(lambda: end.replies or end.sessions != session)
        if end.sessions == session:
            return end.replies.pop(0).removeprefix(f"{number} ")
        session, _ = register()  # the hub restarted, and every request of the earlier session has failed
        return ask(number, request)

    session, reply = register()
    print(reply, flush=True)
    for number, request in enumerate(requests, start=1):
        reply = ask(2 * number, request)
        named = [word for word in request.split(" ") if word.startswith("arrival=")]
        takes = request.startswith("lock ") or re.match(r"sem \S+ -", request)
        if reply.startswith("ok") and takes:
            committed = ask(2 * number + 1, " ".join(["commit", str(2 * number), *named]))
            reply = reply if committed == "ok" else committed
        elif reply.startswith("ok") and named:
            end.send_message(" ".join(["- confirm", str(2 * number), *named]))
        print(reply, flush=True)
    run_until(lambda: requests and not end.queue)
    end.send(b"X", base64(b"done"), end.seed_out)


if __name__ == "__main__":
    main(*sys.argv[1:])
