"""One session: its two lanes, the replies that it must send to the peer, and the replies that it expects.

The session writes and reads frames. The transmit queue and the pacer decide when bytes are sent, and the handshake
decides whether the session continues.
"""

from __future__ import annotations

from collections import deque

from ... import limits
from ..channels.mux import Mux
from ..events import Event, FrameFound
from ..framing import frames, hello_flags
from ..framing.frames import Ack, Hello, Lane
from ..framing.payload import raw_room
from ..framing.transparency import READ_EIGHT_BITS, READ_SEVEN_BITS, TransparencyProbe
from .acknowledgements import Acknowledgements
from .frame_size import FrameSizer
from .handshake import LocalParameters
from .pacing import Pacer
from .polls import Polls
from .round_trip import RoundTrip
from .selective_repeat import SelectiveRepeatReceiver, SelectiveRepeatSender, SentPayload
from .transmit_queue import OutgoingFrame

__all__ = ["Session"]

_NEVER = float("-inf")
_REPLIES = 12  # the maximum number of answers to probes and tries that wait to be sent
_TRIES_BEFORE_BASE64 = 5  # after this number of transmissions of a payload, the line is assumed to damage it
_MASKED_LOST_MOST = 40  # after this number of consecutive lost frames, the masked form is no longer used


class Session:
    """The state of a session, from its establishment by the handshake to its end.

    :param nonce: the nonce of this end.
    :param seeds: (the seed of the checks of sent frames, the seed of the checks of received frames).
    :param rate: the capacity of the line in bytes per second; None for a line without a rate.
    """

    def __init__(
        self, *, local: LocalParameters, nonce: str, peer: Hello, seeds: tuple[int, int], rate: float | None, now: float
    ) -> None:
        self.nonce = nonce
        self.peer = peer
        self.seed_out, self.seed_in = seeds

        def both(flag: str) -> bool:
            return flag in local.flags and flag in peer.flags

        clean = both(hello_flags.CLEAN_PIPE)
        self.eight = clean and both(hello_flags.EIGHT_FORM)
        self.transparency = TransparencyProbe(wanted=not clean and both(hello_flags.MASKED_FORM))
        self.wants_eight_bits: bool | None = None
        """Whether the peer asked this end to read eight bits of each byte on this line (False: seven bits); None if it
        did not ask."""
        self.line_alters = False
        """Whether the line sets the eighth bit of received bytes."""
        self.nest = hello_flags.NESTING in peer.flags
        self.clean = clean
        expand = hello_flags.COMPRESSION in local.flags
        self.mux = Mux(
            odd=nonce > peer.nonce,
            send_credit=peer.credit,
            receive_window=local.credit,
            compress=both(hello_flags.COMPRESSION) and rate is not None,
            expand=expand,
            zstd=both(hello_flags.ZSTANDARD),
            whole=rate is None,
        )
        self.senders = {lane: SelectiveRepeatSender() for lane in Lane}
        self.receivers = {lane: SelectiveRepeatReceiver() for lane in Lane}
        most = max(int(rate * limits.BULK_TIME), limits.BASIC_FRAME) if rate else peer.frame
        # Frames above PIPE_FRAME gain nothing, and the length of a frame with its escapes must fit into four digits.
        self.frame_sizer = FrameSizer(most=min(most, peer.frame, limits.PIPE_FRAME), probe=not clean)
        self.round_trip = RoundTrip()
        self.broken = ""
        """A sentence that describes a protocol violation by the peer; empty if there was none."""
        self.undelivered: deque[tuple[Lane, bytes]] = deque()  # bound: limits.WINDOW_FRAMES, limits.WINDOW_BYTES
        """The received payloads in order, whose records :meth:`deliver` will handle."""
        self._delivered = 0  # the length of the part of the first payload that was handled, in bytes
        self.unanswered_since: float | None = None
        """The time when the first unanswered poll was sent, in seconds; None if there is none."""
        self.acknowledged_at = _NEVER
        """A time at or after which the peer heard this end, in seconds; minus infinity before the first acknowledgement.

        It is the beginning of the newest acknowledged frame. For a frame that was sent several times, it is the
        beginning of the first transmission, because any transmission may have been acknowledged (Karn's algorithm).
        """
        self._count = 0  # the number of completed transmissions
        self._newest = -1  # the greatest transmission count that is known to have arrived
        self._acks = Acknowledgements(self.receivers, both(hello_flags.SHORT_ACKS), now)
        self.polls = Polls()
        # On a two-wire line, two ends with equal timers would collide each time they poll.
        self._patience = 1.0 if local.role == "c" else 1.3
        self._replies: list[OutgoingFrame] = []  # bound: session._REPLIES
        self._masked_lost = 0  # the number of masked frames lost since the last masked frame arrived
        self._control_time = 0.0  # the duration of the longest control frame, in seconds
        self._last_was_data = (
            False  # the last control frame was prompt data, so an acknowledgement may be sent before the next
        )

    @property
    def form(self) -> str:
        """The form in which payloads are currently sent."""
        return frames.MASKED if self.transparency.escapes is not None else frames.EIGHT if self.eight else frames.BASE64

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self, found: FrameFound, pacer: Pacer, now: float) -> None:
        """Handle a frame whose check is correct for the seed of this session. Call :meth:`deliver` afterwards."""
        kind, body = found.frame.kind, found.frame.body
        self.unanswered_since = None
        self._control_time = limits.CONTROL_FRAME / pacer.rate if pacer.rate else 0.0
        if kind in frames.DATA_KINDS:
            self._receive_data(kind, body, found.length, pacer, now)
        elif kind == frames.ACK:
            ack = Ack.read(body)
            if ack is not None:
                self._receive_ack(ack, found.length, pacer, now)
        elif kind == frames.SHORT_ACK:
            for lane, expected in zip(Lane, frames.read_short_ack(body) or (), strict=False):
                self._settle(self.senders[lane].acknowledged_shortly(expected), (lane,), pacer, now, age=None)
        elif kind == frames.POLL:
            self._acks.polled(frames.read_poll(body), now)
        elif kind == frames.PROBE:
            self._reply(frames.PROBED, frames.probed_body(found.length))
        elif kind == frames.PROBED:
            self.frame_sizer.probe_answered(frames.read_probed(body))
        elif kind == frames.TRY:
            self._receive_try(frames.read_group(body))
        elif kind == frames.TRIED:
            self._receive_tried(frames.read_group(body))

    def deliver(self, most: int) -> tuple[list[Event], int]:
        """Handle records of the received payloads, and stop after a certain number of steps.

        :param most: the maximum number of steps, as in :meth:`Mux.receive_some`.
        :returns: (the events of the records, the number of steps that were not used).
        """
        mux = self.mux
        last = mux.work + most
        while self.undelivered and mux.work < last:
            lane, payload = self.undelivered[0]
            at = mux.receive_some(lane, payload, self._delivered, last - mux.work)
            if at < 0:
                self.broken = "the peer violated the rules of a channel (its credit, its number or its records)"
                self.undelivered.clear()
            elif at == len(payload):
                self.undelivered.popleft()
                self._delivered = 0
            else:
                self._delivered = at
        events, mux.events = mux.events, []
        return events, last - mux.work

    def _receive_data(self, kind: bytes, body: bytes, length: int, pacer: Pacer, now: float) -> None:
        data = frames.read_data(kind, body)
        if data is None:
            self.broken = "the peer sent a data frame whose payload is malformed although its check is right"
            return
        lane = data.lane
        receiver = self.receivers[lane]
        had_gap = receiver.has_gap
        payloads = receiver.receive(data.seq, data.payload)
        self._acks.owe(lane, length, pacer, now, urgent=payloads is None or receiver.has_gap or had_gap)
        for payload in payloads or ():
            self.undelivered.append((lane, payload))
        self._settle(self.senders[lane].acknowledged(data.ack, ()), (lane,), pacer, now, age=None)

    def _receive_try(self, group: int) -> None:
        if group in (READ_EIGHT_BITS, READ_SEVEN_BITS):
            if self.line_alters and group == READ_EIGHT_BITS:
                return
            self.wants_eight_bits = group == READ_EIGHT_BITS
        if group != READ_SEVEN_BITS:
            self._reply(frames.TRIED, frames.tried_body(group))

    def _receive_tried(self, group: int) -> None:
        if group == READ_SEVEN_BITS:
            self.transparency.begin()  # the peer has a new line and reads seven bits there
        else:
            self.transparency.answered(group)
        self.frame_sizer.repaired = self.transparency.escapes is not None

    def _reply(self, kind: bytes, body: bytes) -> None:
        self._replies.append(OutgoingFrame(frames.encode(kind, body, self.seed_out), kind))
        del self._replies[:-_REPLIES]

    def _receive_ack(self, ack: Ack, length: int, pacer: Pacer, now: float) -> None:
        new: list[SentPayload] | None = []
        for lane, (expected, ranges) in ((Lane.PROMPT, ack.prompt), (Lane.BULK, ack.bulk)):
            settled = self.senders[lane].acknowledged(expected, ranges)
            new = None if settled is None or new is None else new + settled
        self.acknowledged_at = max(self.acknowledged_at, self.polls.acknowledged(ack.poll))
        poll = self.polls.answered(ack.poll)
        if poll is not None:
            self.round_trip.backoff = 0
            if new is not None:
                new.append(poll)
        on_its_way = length / pacer.rate if pacer.rate else 0.0
        self._settle(new, tuple(Lane), pacer, now, age=ack.age / 1000, on_its_way=on_its_way)

    def _settle(
        self,
        new: list[SentPayload] | None,
        lanes: tuple[Lane, ...],
        pacer: Pacer,
        now: float,
        *,
        age: float | None,
        on_its_way: float = 0.0,
    ) -> None:
        """Handle an acknowledgement: measure the round trip, and find lost frames.

        :param new: the newly acknowledged payloads; None if the acknowledgement was invalid.
        :param age: the delay that the peer added, in seconds; None if it is not known.
        :param on_its_way: the time that the line needed to carry the acknowledgement, in seconds.
        """
        if new is None:
            self.broken = "the peer acknowledged frames that were never sent"
            return
        if not new:
            return
        self.acknowledged_at = max(self.acknowledged_at, *[sent.first_at for sent in new])
        newest = new[0] if len(new) == 1 else max(new, key=lambda sent: sent.count)
        if newest.count < 0:
            return
        self.round_trip.backoff = 0
        is_newest, self._newest = newest.count > self._newest, max(newest.count, self._newest)
        if age is not None and age < 1.0 and is_newest:  # the age is that of the newest arrival
            delay = now - age - newest.sent_at
            self.round_trip.measured(delay)
            pacer.arrived(newest.sent_at, delay - on_its_way, now)
        for lane in lanes:
            lost = self.senders[lane].lose_before(newest.count)
            self._masked_lost += sum(sent.masked for sent in lost)
            if lane is Lane.BULK:
                for _ in lost:
                    self.frame_sizer.lost()
        if any(sent.masked for sent in new):
            self._masked_lost = 0
        elif self._masked_lost >= _MASKED_LOST_MOST:
            self._masked_lost = 0
            self.transparency.revert_to_base64()
            self.frame_sizer.repaired = False

    # -- sending -------------------------------------------------------------------------------------------------------

    def next_control(self, inside: bool, now: float, departs: float) -> OutgoingFrame | None:
        """Return the next control frame, or None. Prompt data takes turns with replies, acknowledgements and polls.

        :param inside: whether the frame will be sent inside a bulk frame.
        :param departs: the time when a frame that is handed over now begins to leave, in seconds.
        """
        frame = None
        if not self._last_was_data:
            frame = self._next_prompt(inside, now)
        if frame is not None:
            self._last_was_data = True
            return frame
        after_data, self._last_was_data = self._last_was_data, False
        if self._replies:
            return self._replies.pop(0)
        if self._acks.is_due(now):
            kind, body = self._acks.take(now, departs)
            return OutgoingFrame(frames.encode(kind, body, self.seed_out), kind)
        if self.polls.wanted:
            return self.next_poll(now)
        if after_data:
            frame = self._next_prompt(inside, now)
            self._last_was_data = frame is not None
        return frame

    def prompt_alone(self, now: float) -> bool:
        """Return whether only prompt data can be due. This is possible only on a clean pipe."""
        # A clean pipe needs no probes.
        if not self.clean or self._replies or self.polls.wanted or self._acks.is_due(now):
            return False
        bulk_waits = self.mux.wants(Lane.BULK) or self.senders[Lane.BULK].has_lost
        return not bulk_waits and not self.senders[Lane.PROMPT].has_lost

    def next_prompt(self, now: float) -> bytes | None:
        """Return the bytes of the next prompt data frame, or None. Call this only if :meth:`prompt_alone` is true."""
        outgoing = self._next_data(Lane.PROMPT, self.frame_sizer.agreed, False, now)
        if outgoing is None:
            return None
        self.transmitted(outgoing, now)
        return outgoing.data

    def _next_prompt(self, inside: bool, now: float) -> OutgoingFrame | None:
        length = self.frame_sizer.agreed if self.clean and not inside else limits.CONTROL_FRAME
        return self._next_data(Lane.PROMPT, length, inside, now)

    def next_poll(self, now: float) -> OutgoingFrame | None:
        """Return a poll frame if a poll is wanted, or None."""
        if not self.polls.wanted:
            return None
        number = self.polls.begin(now)
        text = frames.encode(frames.POLL, frames.poll_body(number), self.seed_out)
        return OutgoingFrame(text, frames.POLL, poll=number)

    def next_bulk(self, now: float, pacer: Pacer) -> OutgoingFrame | None:
        """Return the next frame of the bulk lane, a probe or a try, or None."""
        tried = self.transparency.next_try(2 * self.round_trip.probe_timeout(limits.ACK_DELAY_MAX), now)
        if tried is not None:
            return OutgoingFrame(frames.encode(frames.TRY, frames.try_body(*tried), self.seed_out), frames.TRY)
        size = self.frame_sizer.next_probe()
        if size:
            length = size / pacer.rate if pacer.rate else 0.0
            self.frame_sizer.probe_sent(length + 2 * self.round_trip.probe_timeout(limits.ACK_DELAY_MAX), now)
            return OutgoingFrame(frames.encode(frames.PROBE, frames.probe_body(size), self.seed_out), frames.PROBE)
        sender = self.senders[Lane.BULK]
        if not sender.has_lost and sender.bytes_in_flight >= self._flight_room(pacer):
            return None
        return self._next_data(Lane.BULK, self.frame_sizer.length, False, now)

    def _flight_room(self, pacer: Pacer) -> float:
        """Return the maximum number of bytes of bulk payload that may be unacknowledged.

        On a line with a rate, these are the bytes of about two round trips. A stopped line (an XOFF, a pulled cable)
        therefore does not fill the buffers of the machine.
        """
        if pacer.rate is None:
            return limits.WINDOW_BYTES
        wait = limits.ACK_DELAY_MAX + 0.1 + 2 * min(self.round_trip.value, 2.0)
        return max(pacer.rate * wait, 4 * self.frame_sizer.length)

    def _next_data(self, lane: Lane, length: int, inside: bool, now: float) -> OutgoingFrame | None:
        sender = self.senders[lane]
        if sender.has_lost:
            sent = sender.next_lost()
            if sent is not None:
                outgoing = self._data_frame(lane, sender, sent, now)
                if inside and len(outgoing.data) > limits.CONTROL_FRAME:
                    sender.put_back(sent)
                    return None
                return outgoing
        if not self.mux.wants(lane) or not sender.window_open:
            return None
        payload = self.mux.next_payload(lane, self._payload_room(lane, length))
        return self._data_frame(lane, sender, sender.push(payload), now) if payload else None

    def _payload_room(self, lane: Lane, length: int) -> int:
        """Return the number of payload bytes that fit into a data frame of ``length`` bytes."""
        text = frames.data_body_room(length)
        if self.transparency.escapes is None:
            room = raw_room(text, eight=self.eight)
            # In the eight form every byte may need an escape, and a control frame must not become longer.
            return room // 3 if self.eight and length <= limits.CONTROL_FRAME else room
        if lane is Lane.PROMPT:  # it may be sent again in base64, therefore it must also fit in this form
            return raw_room(text, eight=False)
        return self.transparency.escapes.room(text - 2)

    def _data_frame(self, lane: Lane, sender: SelectiveRepeatSender, sent: SentPayload, now: float) -> OutgoingFrame:
        receiver = self.receivers[lane]
        if sent.first_at == _NEVER:
            sent.first_at = now
        numbers = sent.seq % limits.SEQ_MOD, receiver.expected % limits.SEQ_MOD
        escapes = self.transparency.escapes
        # A payload that is lost repeatedly may contain bytes that the line damages. Therefore each transmission uses
        # another mask, and every second of the later transmissions uses base64.
        sent.masked = escapes is not None and (sent.times < _TRIES_BEFORE_BASE64 or sent.times % 2 == 0)
        kind = frames.data_kind(lane, eight=self.eight, masked=sent.masked)
        if escapes is not None and sent.masked:
            text = escapes.encode(sent.payload, max(sent.times - 1, 0))
            body = frames.masked_body(lane, *numbers, sent.payload, text)
        else:
            body = frames.data_body(*numbers, sent.payload, eight=self.eight)
        self._acks.carried(lane, self._control_time, now)
        return OutgoingFrame(frames.encode(kind, body, self.seed_out), kind, sender=sender, sent=sent)

    def transmitted(self, outgoing: OutgoingFrame, leaves_at: float) -> None:
        """Register a frame whose last byte was handed over.

        :param leaves_at: the time when the last byte is sent, in seconds.
        """
        self._count += 1
        if outgoing.poll:
            self.polls.transmitted(outgoing.poll, self._count, leaves_at)
            if self.unanswered_since is None:
                self.unanswered_since = leaves_at
        elif outgoing.sender is not None and outgoing.sent is not None:
            size = len(outgoing.data)
            outgoing.sender.transmitted(outgoing.sent, self._count, leaves_at, size)
            if outgoing.kind in frames.BULK_KINDS:
                self.frame_sizer.sent(size)

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> bool:
        """Whether a sent payload is not acknowledged yet."""
        return any(sender.outstanding for sender in self.senders.values())

    def has_work(self, now: float, pacer: Pacer) -> bool:
        """Return whether a frame can be sent now."""
        if pacer.rate is None and self.prompt_alone(now):
            return self.mux.wants(Lane.PROMPT) and self.senders[Lane.PROMPT].window_open
        if self._replies or self._acks.is_due(now) or self.polls.wanted:
            return True
        if self.transparency.waiting or self.frame_sizer.next_probe():
            return True
        for lane, sender in self.senders.items():
            if sender.has_lost:
                return True
            room = lane is Lane.PROMPT or sender.bytes_in_flight < self._flight_room(pacer)
            if self.mux.wants(lane) and sender.window_open and room:
                return True
        return False

    @property
    def awaits_answer(self) -> bool:
        """Whether a poll waits to be sent or waits for its answer. It is repeated if there is no answer."""
        return self.polls.starting or self.polls.unanswered_at is not None

    def ask(self) -> None:
        """Send a poll as soon as the line accepts it."""
        self.polls.wanted = True

    def peer_asks(self) -> None:
        """Send an acknowledgement, because the peer asked for it."""
        self._acks.asked()
        self.unanswered_since = None

    def next_timer(self, now: float) -> float | None:
        """Return the time of the next deadline in seconds, or None."""
        # Acknowledgements whose time has come are reported by has_work().
        acks_at = self._acks.next_timer(now)
        times = (acks_at, self._poll_at(), self.frame_sizer.retry_at, self.transparency.retry_at)
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do all work whose time has come."""
        self.frame_sizer.handle_timer(now)
        self.transparency.handle_timer(now)
        self.frame_sizer.repaired = self.transparency.escapes is not None
        poll_at = self._poll_at()
        if poll_at is not None and now >= poll_at:
            if self.polls.unanswered_at is not None:
                self.round_trip.backoff = min(self.round_trip.backoff + 1, 10)
            self.polls.wanted = True

    def _poll_at(self) -> float | None:
        """Return the time when to poll the peer, in seconds, or None."""
        if self.polls.starting:
            return None
        polled_at = self.polls.unanswered_at
        if polled_at is not None:
            return polled_at + self._patience * self.round_trip.probe_timeout(0.0)
        times = []
        for lane, sender in self.senders.items():
            oldest = sender.oldest_sent_at()
            if oldest is not None:
                delay = limits.ACK_DELAY if lane is Lane.PROMPT else limits.ACK_DELAY_MAX
                times.append(oldest + self.round_trip.probe_timeout(delay + self._control_time))
        return min(times, default=None)

    def line_changed(self) -> None:
        """Forget the properties of the previous line, because there is a new line."""
        self.transparency.begin()
        self.frame_sizer.repaired = False
        if self.wants_eight_bits:
            self._reply(frames.TRIED, frames.tried_body(READ_SEVEN_BITS))
        self.wants_eight_bits = None

    def line_gone(self) -> None:
        """Handle the loss of the line: all frames in flight are lost too."""
        for sender in self.senders.values():
            sender.lose_all()
        self.polls.line_gone()
        self.round_trip.backoff = 0
