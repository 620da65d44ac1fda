"""Exchanges on the hub: it stores the data of each member, and streams all data to each member when the model decides it.

1. A member's channel is one arrival with a client of its own, so the client ends with the channel. The hub stores the data
   once, in a blob, and reads it from there for each receiver at the receiver's own speed. So a slow receiver does not delay
   the others. The model decides how long the data is needed.
2. A hub that stores its state has the blobs there, too. It answers an arrival when the arrival is stored, and reports the data
   to the model when the data is stored. The next hub therefore knows everything that a member has got from this hub.
3. After a restart, the members open their channels again, with the same arrivals. The hub asks a member only for the bytes that
   it does not have, and sends only the bytes that the member does not have. A member that does not open its channel within one
   lease after its session continued counts as dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from ... import protocol
from ...errors import OTHERS_MAY_HAVE_IT, BrokenError, EndOfStream, Hung, LinesyncError, LinesyncFailed, UsageError
from ...jobs.serve import refuse
from ...model.decisions import Exchanged, Failed, Granted, Outcome
from ...model.hosts.members import unfold
from ...model.participants import HUB, Cause, Client
from ...protocol import ExchangeOpen, ExchangePart, FileEnd
from ...runtime.channels.streams import Stream
from ...store.blobs import Blob, Blobs
from ...store.state import State
from ...workers import SPOOL
from ..requests import Requests
from ..sessions import HubSession
from ..state.memory import DataRow
from .member_data import PIECE, Bundle, Writer, read, writer_of
from .restart import Unopened

__all__ = ["Exchanging"]

_CHUNK = 1 << 16
_KEPT = "the hub's temporary files"
_DEATHS = {str(cause) for cause in (Cause.CLIENT_GONE, Cause.LINE_LOST, Cause.RESTARTED, Cause.STOPPED)}


class Exchanging:
    """All exchanges that a hub serves.

    :param limit: the maximum number of bytes that one member gives.
    :param report: is called with each sentence for the log.
    :param state: has the data; by default, it is in memory and in temporary files.
    """

    def __init__(
        self, requests: Requests, limit: int, report: Callable[[str], None], state: State | None = None
    ) -> None:
        self.requests = requests
        self.report = report
        self._memory = requests.memory
        self._stores = state is not None
        self.blobs = Blobs(
            dispose=lambda close: SPOOL.clean(close, _KEPT),
            number=self._memory.next_serial,  # a number is never used again, because the next hub may know its data
            state=state,
            freed=self._memory.drop_data,
        )
        self._channels: dict[tuple[str, str], _Channel] = {}  # bound: waits.WAITS
        """(host, arrival) to the channel that serves it: the channel of the latest request."""
        self.unopened = Unopened(requests, self.blobs, report)
        """The arrivals whose channels ended with an earlier hub."""
        self.suspended = False
        """Whether the next hub continues the exchanges, so that this hub makes no further changes."""
        self._bundles: dict[tuple[int, ...], Bundle] = {}  # bound: waits.WAITS
        """The data that is being sent, by its keys."""
        exchanges = requests.services.exchanges
        exchanges.limit = limit
        exchanges.dropped = self.blobs.drop

    async def serve(self, session: HubSession, stream: Stream) -> None:
        """Serve a channel that was opened for an exchange, to its end.

        :raises LinesyncError: the opening is malformed.
        """
        opening = protocol.decode(stream.words, ExchangeOpen)
        assert isinstance(opening, ExchangeOpen)
        if stream.broken is not None:
            return  # the client gave up, and may have opened another channel after that
        number = self._memory.next_serial()  # a later process of this hub must not use it again
        client = Client(session.host or HUB, f"{session.serial}.x{number}", session.principal(""))
        if session.keeping:
            session.kept.exchanges()
        channel = _Channel(self, session, stream, opening, client, opening.arrival or f"{session.serial}/x{number}")
        await channel.work()

    def suspend(self) -> None:
        """Leave all exchanges to the next hub. The channels stay open until their lines are closed, but nothing happens on
        them."""
        self.suspended = True
        for channel in self._channels.values():
            channel.suspend()

    def close(self) -> None:
        """Stop the timers, and forget all data that is not stored. The channels have ended."""
        self.unopened.close()
        if not self._stores:
            self.blobs.close()

    # -- for the channels ----------------------------------------------------------------------------------------------

    def enter(self, channel: _Channel) -> tuple[_Channel | None, Blob | None]:
        """Register a channel for its arrival's outcome.

        :returns: the channel that was registered before, and the data that an earlier hub got from it.
        """
        earlier = self._channels.get(channel.key)
        begun = self.unopened.take(channel.key)
        self._channels[channel.key] = channel
        self.requests.on_outcome[channel.key] = channel.outcome
        return earlier, begun

    def leave(self, channel: _Channel) -> None:
        """Remove a channel that has ended."""
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]
            del self.requests.on_outcome[channel.key]

    def reserve(self, channel: _Channel, size: int) -> Blob:
        """Reserve space for the data of an arrival.

        :raises LinesyncFailed: there is no space.
        """
        blob = self.blobs.reserve(size)
        if self._stores:
            self._memory.keep_data(blob.number, DataRow(host=channel.key[0], arrival=channel.key[1], size=size))
        return blob

    def take(self, value: Exchanged) -> Bundle:
        """The data of an exchange that succeeded. Call :meth:`give_back` when it is sent.

        :raises LinesyncFailed: the data is no longer kept.
        """
        bundle = self._bundles.get(value.keys)
        if bundle is None:
            blobs = [blob for key in value.keys if (blob := self.blobs.get(key)) is not None]
            if len(blobs) < len(value.keys):
                raise LinesyncFailed(_no_longer_kept())
            bundle = self._bundles[value.keys] = Bundle(value, blobs)
        bundle.receivers += 1
        return bundle

    def give_back(self, bundle: Bundle) -> None:
        """Release the data, because a receiver does not need it any more."""
        bundle.receivers -= 1
        if not bundle.receivers:
            del self._bundles[bundle.value.keys]


def _no_longer_kept() -> str:
    return f"the data of this exchange is no longer kept; {OTHERS_MAY_HAVE_IT} exchange it again, with a new id"


class _Channel:
    """One arrival at an exchange."""

    def __init__(
        self,
        home: Exchanging,
        session: HubSession,
        stream: Stream,
        opening: ExchangeOpen,
        client: Client,
        arrival: str,
    ) -> None:
        self.key = (client.host, arrival)
        self._home = home
        self._session = session
        self._stream = stream
        self._opening = opening
        self._client = client
        self._arrival = arrival
        self._member = opening.member or client.host
        self._blob: Blob | None = None
        self._desk = stream.desk(_KEPT, spool=True)
        self._writer: Writer | None = None
        """Writes the data; None before the client was asked for it."""
        self._received = 0
        self._given = False
        self._sent = False
        """Whether all data was sent to the client."""
        self._reading = ExitStack()
        """Keeps the data of all members until it is sent."""
        self._ended: asyncio.Future[Bundle | LinesyncError] = asyncio.get_running_loop().create_future()
        """The outcome of the arrival."""
        self._task = asyncio.current_task()

    async def work(self) -> None:
        """Receive the data, wait for the outcome, and send it."""
        self._session.exchanges += 1
        tasks: list[asyncio.Task[Any]] = []
        waits = True
        try:
            self._arrive()
            tasks.append(asking := asyncio.create_task(self._ask()))
            tasks.append(reader := asyncio.create_task(self._read(asking)))
            either: set[asyncio.Future[Any]] = {reader, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.done():
                reader.result()  # raises the error of the reader
            self._session.exchanges -= 1
            waits = False
            await self._home.requests.outbox.stored()
            ended = self._ended.result()
            if isinstance(ended, LinesyncError):
                asking.cancel()
                refuse(self._stream, ended)
                await reader
            else:
                await asking
                if await self._send(ended) and await reader is None:
                    self._confirm()
        except asyncio.CancelledError as error:
            if not self._home.suspended:
                if self._sent and self._stream.ended:  # the session ended directly after the confirmation
                    self._confirm()
                why = str(error.args[0]) if error.args and error.args[0] else "the hub was stopped"
                self._client_left(why)
                self._stream.reset(why)
            raise
        finally:
            self._session.exchanges -= waits
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            if not self._home.suspended:
                self._close()
            self._home.leave(self)
            self._reading.close()

    def suspend(self) -> None:
        """Stop the work for this channel."""
        if self._task is not None:
            self._task.cancel()

    # -- the arrival ---------------------------------------------------------------------------------------------------

    def _arrive(self) -> None:
        """Arrive. If an earlier hub got bytes of this arrival, the blob has them.

        :raises LinesyncError: the hub takes no such arrival.
        """
        opening, requests = self._opening, self._home.requests
        exchanges = requests.services.exchanges
        if opening.known and not requests.services.knows(self._arrival, self._client):
            raise LinesyncFailed(_no_longer_kept())
        members = unfold(opening.members)
        exchanges.check_arrival(self._arrival, self._client)
        requests.check_arrival(
            opening.ns, self._arrival, self._client, runs=exchanges.is_open(opening.ns, opening.name)
        )
        earlier, self._blob = self._home.enter(self)
        requests.perform(
            lambda services, now: services.exchanges.open(
                self._arrival,
                opening.ns,
                opening.name,
                members,
                self._member,
                opening.size,
                self._client,
                now,
                opening.timeout,
                opening.within,
            )
        )
        if earlier is not None:
            earlier.end(LinesyncFailed("the client sent this arrival again on another connection, where it continues"))

    async def _ask(self) -> None:
        """Let the client give the data that is missing, when the arrival is stored."""
        begun = self._blob
        self._given = self._ended.done() or self._home.requests.services.exchanges.has_given(
            self._arrival, self._client
        )
        try:
            if not self._given and begun is None:
                self._blob = self._home.reserve(self, self._opening.size)
            await self._home.requests.outbox.stored()
            if self._given:
                if not (self._ended.done() and isinstance(self._ended.result(), LinesyncError)):
                    self._send_state("had")
            elif self._ended.done():
                return
            elif begun is not None:
                await self._continue(begun)
            elif self._blob is not None:
                self._send_state("give")
                self._begin(self._blob)
        except LinesyncError as error:
            self._cannot_keep(error)

    async def _continue(self, blob: Blob) -> None:
        """Ask for the bytes that an earlier hub did not get. The client checks that it gives the same data as before."""
        from hashlib import sha256  # imported only by hubs that serve exchanges

        digest = sha256()
        await blob.count(digest.update)
        if blob.size != self._opening.size:
            raise LinesyncFailed(
                f"{self._member} gives {self._opening.size:,} bytes now, and gave {blob.size:,} bytes before the hub restarted"
            )
        self._received = blob.written
        self._send_state("give", at=blob.written, sha256=digest.hexdigest())
        self._begin(blob)

    def _begin(self, blob: Blob) -> None:
        self._writer = writer_of(blob, self._desk)
        if blob.complete:
            self._give(blob)

    def _send_state(self, *state: str, **options: str | int) -> None:
        with suppress(LinesyncError):  # the client may be gone or have given up already; the reader gets the reason
            self._stream.send_message(protocol.encode_ok(*state, **options))

    async def _read(self, asking: asyncio.Task[None]) -> str | None:
        """Receive until the client has ended its side (returns None), or until the channel breaks (returns the reason).

        A client that ends its side before the outcome leaves immediately, so that the same member can arrive again.
        """
        try:
            while True:
                item = await self._stream.receive()
                if item.stream == 0 and self._writer is None:
                    await asyncio.wait({asking})
                if item.stream == 0 and self._writer is not None and not self._given and not self._ended.done():
                    await self._take(self._writer, item.data)
        except EndOfStream:
            why = None
        except LinesyncError as error:
            why = None if self._stream.ended else error.message
        if not self._ended.done():
            self._client_left(why)
        return why

    async def _take(self, writer: Writer, data: bytes) -> None:
        blob = self._blob
        assert blob is not None
        self._received += len(data)
        try:
            if self._received > blob.size:
                raise LinesyncFailed(
                    f"the hub received more than the {blob.size:,} bytes that were announced; exchange the data again"
                )
            await writer.put(data)
            if self._received == blob.size:
                await writer.flush()
        except (BrokenError, EndOfStream):
            raise
        except LinesyncError as error:
            self._cannot_keep(error)
        except Hung as error:
            self._cannot_keep(LinesyncFailed(f"the hub cannot store the data: {error.strerror}"))
        else:
            if self._received == blob.size and not self._ended.done():
                self._give(blob)

    def _give(self, blob: Blob) -> None:
        self._given = True  # the model owns the blob now
        self._home.requests.perform(
            lambda services, now: services.exchanges.given(self._arrival, self._client, blob.number, now)
        )

    def _cannot_keep(self, error: LinesyncError) -> None:
        self._home.requests.perform(
            lambda services, now: services.exchanges.cannot_keep(self._arrival, self._client, error.message, now)
        )

    def _client_left(self, why: str | None) -> None:
        """Handle the end of a client that is gone or gave up, possibly before the outcome."""
        if why == protocol.GIVEN_UP:
            self._home.requests.perform(lambda services, now: services.withdraw(self._arrival, self._client, now))
        else:
            self._home.requests.perform(
                lambda services, now: services.client_gone(
                    self._client, now, Cause.CLIENT_GONE, why or "it ended its channel"
                )
            )
        self.end(LinesyncFailed("the arrival was withdrawn"))

    def outcome(self, outcome: Outcome) -> None:
        """Handle the decision of the model."""
        if self._ended.done():
            return
        if isinstance(outcome, Failed):
            if self._given and outcome.error.details.get("cause") in _DEATHS:
                self._home.report(
                    f"{self._member} gave its data to exchange '{self._opening.name}' and is gone"
                    f" ({outcome.error.details['cause']}); the exchange continues with the data from {self._client.principal}"
                )
            self.end(outcome.error)
        elif isinstance(outcome, Granted) and isinstance(outcome.value, Exchanged):
            try:
                bundle = self._home.take(outcome.value)
            except LinesyncFailed as error:
                self.end(error)
                return
            self._reading.callback(self._home.give_back, bundle)
            self._reading.enter_context(Blob.reading(bundle.blobs))
            self._ended.set_result(bundle)
        else:
            self.end(UsageError(f"the arrival id {self._arrival} is already in use; use a new id for each arrival"))

    def end(self, error: LinesyncError) -> None:
        """End this channel's wait with an error."""
        if not self._ended.done():
            self._ended.set_result(error)

    # -- the data of all members ---------------------------------------------------------------------------------------

    async def _send(self, bundle: Bundle) -> bool:
        """Stream the data of all members from the place that the client names. Returns False if the client is gone before the
        end. All bytes are read, because the digest includes them.
        """
        stream, position, had = self._stream, 0, self._opening.Got
        try:
            for number, (member, blob) in enumerate(zip(bundle.value.members, bundle.blobs, strict=True)):
                if number >= self._opening.Parts:
                    part = ExchangePart(member=member, size=blob.size, total=0 if number else bundle.size)
                    stream.send_message(protocol.encode(part))
                    await stream.drained()
                for offset in range(0, blob.size, PIECE):
                    data = await self._read_blob(blob, offset, min(PIECE, blob.size - offset))
                    for begin in range(0, len(data), _CHUNK):
                        chunk = data[begin : begin + _CHUNK]
                        bundle.passes(position, chunk)
                        position += len(chunk)
                        if position > had:
                            await stream.send(1, chunk[-(position - had) :])
            stream.send_message(protocol.encode(FileEnd(sha256=bundle.sha256)))
            stream.end()
            self._sent = True
        except LinesyncError as error:
            refuse(stream, error)  # the client gets the error if its channel still works
            return False
        return True

    async def _read_blob(self, blob: Blob, offset: int, count: int) -> bytes:
        try:
            return await read(blob, self._desk, offset, count)
        except (BrokenError, EndOfStream):
            raise
        except LinesyncFailed as error:
            raise LinesyncFailed(f"{error.message}; {OTHERS_MAY_HAVE_IT} repeat it") from None

    def _confirm(self) -> None:
        """Record that the client has all data."""
        self._home.requests.services.confirm(self._arrival, self._client)

    def _close(self) -> None:
        """Clean up, except for results that a retry may ask for."""
        if not self._ended.done():
            self._client_left("the hub gave up")
        if self._blob is not None and not self._given:
            self._home.blobs.drop(self._blob.number)
        if not self._opening.arrival:  # without an arrival id, a retry is not possible
            self._home.requests.services.confirm(self._arrival, self._client)
        self._home.requests.outbox.changed()
