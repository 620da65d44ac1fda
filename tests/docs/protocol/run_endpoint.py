"""A host that serves ``run``, as docs/protocol.md, appendix A.2, describes it. Its only source was that page.

It extends the minimal endpoint. Its commands are ``echo WORDS``, ``fill N`` (N bytes of output) and ``hang``.
"""


def make(module):
    """The class of the endpoint.

    :param module: the module of the minimal endpoint.
    """
    record, fixed, read_fixed = module.record, module.fixed, module.read_fixed

    class RunEndpoint(module.Endpoint):
        def begin_session(self, peer, credit):
            self.given, self.channel, self.opening, self.lane = credit, None, {}, b"c"
            self.bulk_queue, self.bulk_seq, self.bulk_sent_at = [], 0, None
            super().begin_session(peer, credit)

        def receive_frame(self, kind, body):
            self.lane = kind
            if kind == b"d":
                self.receive_bulk_ack(read_fixed(body, 2))
            ack = module.read_ack(body) if kind == b"A" else None
            if ack is not None:
                poll, _, expected = ack
                self.receive_bulk_ack(expected)
                waits = self.bulk_sent_at is not None and self.polled_at is not None
                if waits and poll == self.poll and self.bulk_sent_at <= self.polled_at:
                    self.transmit_bulk()
            super().receive_frame(kind, body)

        def receive_bulk_ack(self, expected):
            if self.bulk_sent_at is not None and expected == (self.bulk_seq + 1) % 4096:
                self.bulk_seq, self.bulk_sent_at = expected, None
                _, _, ends = self.bulk_queue.pop(0)
                if ends and ends == self.channel:
                    self.channel = None

        def transmit_bulk(self):
            self.bulk_sent_at = self.clock()
            numbers = fixed(self.bulk_seq) + fixed(self.expected[b"d"])
            self.send(b"d", numbers + module.base64(self.bulk_queue[0][0]), self.seed_out)

        def receive_records(self, payload):
            at = 0
            while at < len(payload):
                start, kind = at, payload[at : at + 1]
                channel, length, at = module.read_counted(payload, 2, at + 1)
                body, at = payload[at : at + length], at + length
                if kind in (b"o", b"p") and self.lane == b"d":
                    self.opening[channel] = self.opening.get(channel, b"") + body
                    if kind == b"o":
                        self.open(channel, self.opening.pop(channel).decode())
                elif channel == self.channel and kind == b"w":
                    self.channel_credit += module.read_credit(body)
                elif channel == self.channel and kind == b"x":
                    in_flight = self.bulk_sent_at is not None
                    self.channel, self.bulk_queue = None, self.bulk_queue[:in_flight]
                elif channel == 0 or kind in (b"o", b"p"):
                    super().receive_records(payload[start:at])

        def open(self, channel, text):
            words = [word.replace("%20", " ") for word in text.split(" ")]
            options = [word for word in words if "=" in word]
            argv = [word for word in words[2:] if "=" not in word]
            if words[:2] != ["run", self.name]:
                self.queue.append(record(b"x", channel, b"only run is served here"))
            elif self.channel is not None:
                error = record(b"m", channel, b"err busy one%20command%20runs%20already") + record(b"e", channel, b"")
                self.bulk_queue[1:1] = [(error, 0, None)]  # it fits into the credit of its own channel
            elif any(option[0].isupper() or option.startswith("timeout=") for option in options):
                self.answer(channel, "err unsupported this%20option%20is%20not%20served")
            elif argv[0] == "echo":
                self.output(channel, " ".join(argv[1:]).encode() + b"\n")
                self.answer(channel, "exit 0")
            elif argv[0] == "fill":
                self.output(channel, b"x" * int(argv[1]))
                self.answer(channel, "exit 3")
            elif argv[0] == "hang":
                self.begin(channel)
            else:
                self.answer(channel, "err notfound there%20is%20no%20such%20command")

        def begin(self, channel):
            self.channel, self.channel_credit = channel, self.given

        def output(self, channel, data):
            self.begin(channel)
            for at in range(0, len(data), 60):
                piece = data[at : at + 60]
                self.bulk_queue.append((record(b"1", channel, piece), len(piece) + 4, None))

        def answer(self, channel, text):
            if self.channel is None:
                self.begin(channel)
            last = record(b"m", channel, text.encode()) + record(b"e", channel, b"")
            self.bulk_queue.append((last, len(text) + 4, channel))

        def tick(self):
            super().tick()
            if self.next_call_at is not None:
                return
            if self.bulk_queue and self.bulk_sent_at is None:
                cost = self.bulk_queue[0][1]
                if cost <= self.channel_credit:
                    self.channel_credit -= cost
                    self.transmit_bulk()
            elif self.bulk_sent_at is not None and self.polled_at is None:
                if self.clock() - self.bulk_sent_at > module.FIRST_RTT:
                    self.send_poll()

    return RunEndpoint
