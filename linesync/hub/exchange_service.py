"""Exchanges on the hub: it stores the data of each member, and streams all data to each member when the model decides it.

A member's channel is one arrival with a client of its own, so the client ends with the channel. The hub stores the data once,
in a blob, and reads it from there for each receiver at the receiver's own speed. So a slow receiver does not delay the
others. The data is kept until all receivers have confirmed that they have all of it, for at most ten minutes, so that
retries get it. A receiver that is still being served then gets the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import protocol
from ..errors import OTHERS_MAY_HAVE_IT, BrokenError, EndOfStream, Hung, LinesyncError, LinesyncFailed, UsageError
from ..jobs.serve import refuse
from ..model.decisions import Exchanged, Failed, Granted, Outcome
from ..model.hosts.members import unfold
from ..model.participants import HUB, Cause, Client
from ..model.sync.kept_results import RESULT_LIFE
from ..protocol import ExchangeOpen, ExchangePart, FileEnd
from ..runtime.desk import Behind
from ..runtime.streams import Stream
from ..store.blobs import Blob, Blobs
from ..workers import SPOOL
from .requests import Requests
from .sessions import HubSession

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Exchanging"]

_CHUNK = 1 << 16
_PIECE = 2 * _CHUNK  # bytes that one call reads from a file or writes to it
_KEPT = "the hub's temporary files"
_DEATHS = {str(cause) for cause in (Cause.CLIENT_GONE, Cause.LINE_LOST, Cause.RESTARTED, Cause.STOPPED)}


class Exchanging:
    """All exchanges that a hub serves.

    :param limit: the most bytes that one member gives.
    :param report: is called with each sentence for the log.
    """

    def __init__(self, requests: Requests, limit: int, report: Callable[[str], None]) -> None:
        self.requests = requests
        self.report = report
        self.blobs = Blobs(
            dispose=lambda close: SPOOL.clean(close, _KEPT),
            number=requests.memory.next_serial,  # the next hub may know a number, and must not find other data there
        )
        self._channels: dict[tuple[str, str], _Channel] = {}  # bound: waits.WAITS
        """(host, arrival) to the channel that serves it: the channel of the latest request."""
        self._bundles: dict[tuple[int, ...], _Bundle] = {}  # bound: blobs.BOUND, kept_results.RESULT_LIFE
        requests.services.exchanges.limit = limit
        requests.services.exchanges.dropped = self.blobs.drop

    async def serve(self, session: HubSession, stream: Stream) -> None:
        """Serve a channel that was opened for an exchange, to its end.

        :raises LinesyncError: the opening is malformed.
        """
        opening = protocol.decode(stream.words, ExchangeOpen)
        assert isinstance(opening, ExchangeOpen)
        number = self.requests.memory.next_serial()  # another life of this hub must not use it again
        client = Client(session.host or HUB, f"{session.serial}.x{number}", session.principal(""))
        channel = _Channel(self, session, stream, opening, client, opening.arrival or f"{session.serial}/x{number}")
        await channel.work()

    def close(self) -> None:
        """Forget all data; the hub stops, and its channels have ended."""
        for bundle in list(self._bundles.values()):
            self.forget(bundle)
        self.blobs.close()

    # -- for the channels ----------------------------------------------------------------------------------------------

    def enter(self, channel: _Channel) -> _Channel | None:
        """Register a channel for its arrival's outcome; returns the channel that was registered before."""
        earlier = self._channels.get(channel.key)
        self._channels[channel.key] = channel
        self.requests.on_outcome[channel.key] = channel.outcome
        return earlier

    def leave(self, channel: _Channel) -> None:
        """Remove a channel that has ended."""
        if self._channels.get(channel.key) is channel:
            del self._channels[channel.key]
            del self.requests.on_outcome[channel.key]

    def bundle(self, value: Exchanged) -> _Bundle:
        """The data of an exchange that succeeded.

        :raises LinesyncFailed: the data is no longer kept.
        """
        bundle = self._bundles.get(value.keys)
        if bundle is None:
            blobs = [blob for key in value.keys if (blob := self.blobs.get(key)) is not None]
            if len(blobs) < len(value.keys):
                raise LinesyncFailed(
                    f"the data of this exchange is no longer kept; {OTHERS_MAY_HAVE_IT} exchange it again, with a new id"
                )
            bundle = self._bundles[value.keys] = _Bundle(value, blobs)
            bundle.timer = asyncio.get_running_loop().call_later(RESULT_LIFE, self.forget, bundle)
        return bundle

    def forget(self, bundle: _Bundle) -> None:
        """Drop the data of an exchange that is no longer needed."""
        if self._bundles.pop(bundle.value.keys, None) is not None:
            if bundle.timer is not None:
                bundle.timer.cancel()
            for key in bundle.value.keys:
                self.blobs.drop(key)


class _Bundle:
    """The data of all members, which is sent to all members.

    :ivar unconfirmed: the (host, arrival) of the receivers that have not confirmed that they have the data.
    :ivar timer: forgets the data after ten minutes even if there are unconfirmed receivers.
    """

    def __init__(self, value: Exchanged, blobs: list[Blob]) -> None:
        from hashlib import sha256  # imported only by hubs that serve exchanges

        self.value = value
        self.blobs = blobs
        self.size = sum(blob.size for blob in blobs)
        self.unconfirmed: set[tuple[str, str]] = set()  # bound: members.MEMBERS_MAX
        self.timer: asyncio.TimerHandle | None = None
        self._hash: _Hash = sha256()
        self._hashed = 0

    def passes(self, position: int, chunk: bytes) -> None:
        """Bytes at this position of the whole are sent to a receiver; they are hashed for the first receiver that gets them."""
        if position == self._hashed:
            self._hash.update(chunk)
            self._hashed += len(chunk)

    @property
    def sha256(self) -> str:
        """The digest of all bytes, after all of them were sent to one receiver."""
        assert self._hashed == self.size
        return self._hash.hexdigest()


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
        self._behind: Behind | None = None
        self._received = 0
        self._given = False
        self._ended: asyncio.Future[_Bundle | LinesyncError] = asyncio.get_running_loop().create_future()
        """The outcome of the arrival."""

    async def work(self) -> None:
        """Receive the data, wait for the outcome, and send it."""
        self._session.exchanges += 1
        reader = asyncio.create_task(self._read())
        waits = True
        try:
            self._open()
            either: set[asyncio.Future[Any]] = {reader, self._ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.done():
                reader.result()  # raises the error of the reader
            self._session.exchanges -= 1
            waits = False
            await self._home.requests.outbox.stored()
            ended = self._ended.result()
            if isinstance(ended, LinesyncError):
                refuse(self._stream, ended)
                await reader
            elif await self._send(ended) and await reader is None:
                self._confirm(ended)
        except asyncio.CancelledError as error:
            why = str(error.args[0]) if error.args and error.args[0] else "the hub was stopped"
            self._client_left(why)
            self._stream.reset(why)
            raise
        finally:
            self._session.exchanges -= waits
            reader.cancel()
            await asyncio.wait({reader})
            self._close()

    # -- the arrival ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Arrive, and let the client give its data."""
        opening, members = self._opening, unfold(self._opening.members)
        self._home.requests.services.exchanges.check_arrival(self._arrival, self._client)
        runs = self._home.requests.services.exchanges.is_open(opening.ns, opening.name)
        self._home.requests.check_arrival(opening.ns, self._arrival, self._client, runs=runs)
        earlier = self._home.enter(self)
        self._home.requests.perform(
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
        if self._ended.done() and isinstance(self._ended.result(), LinesyncError):
            return
        if self._ended.done() or self._home.requests.services.exchanges.has_given(self._arrival, self._client):
            self._given = True
            self._send_state("had")
            return
        try:
            self._blob = self._home.blobs.reserve(opening.size)
        except LinesyncFailed as error:
            self._cannot_keep(error)
            return
        if not self._blob.in_memory:
            self._behind = Behind(self._desk, self._blob.append, _PIECE)
        self._send_state("give")
        if self._blob.complete:
            self._give(self._blob)

    def _send_state(self, state: str) -> None:
        with suppress(LinesyncError):  # the client may be gone or have given up already; the reader gets the reason
            self._stream.send_message(protocol.encode_ok(state))

    async def _read(self) -> str | None:
        """Receive until the client has ended its side (returns None), or until the channel breaks (returns the reason).

        A client that ends its side before the outcome leaves immediately, so that the same member can arrive again.
        """
        try:
            while True:
                item = await self._stream.receive()
                if item.stream == 0 and self._blob is not None and not self._given and not self._ended.done():
                    await self._take(self._blob, item.data)
        except EndOfStream:
            why = None
        except LinesyncError as error:
            why = error.message
        if not self._ended.done():
            self._client_left(why)
        return why

    async def _take(self, blob: Blob, data: bytes) -> None:
        self._received += len(data)
        try:
            if self._behind is None:
                blob.append(data)
            elif self._received > blob.size:
                raise LinesyncFailed(f"the client sent more than the {blob.size:,} bytes that it announced")
            else:
                await self._behind.put(data)
                if self._received == blob.size:
                    await self._behind.flush()
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
        """The client is gone or gave up, perhaps before the outcome."""
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
        """The model has decided."""
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
                bundle = self._home.bundle(outcome.value)
            except LinesyncFailed as error:
                self.end(error)
                return
            bundle.unconfirmed.add(self.key)
            self._ended.set_result(bundle)
        else:
            self.end(UsageError(f"the arrival id {self._arrival} is already in use; use a new id for each arrival"))

    def end(self, error: LinesyncError) -> None:
        """End this channel's wait with an error."""
        if not self._ended.done():
            self._ended.set_result(error)

    # -- the data of all -----------------------------------------------------------------------------------------------

    async def _send(self, bundle: _Bundle) -> bool:
        """Stream the data of all members; returns False if the client is gone before the end."""
        stream, position = self._stream, 0
        try:
            with Blob.reading(bundle.blobs):
                for member, blob in zip(bundle.value.members, bundle.blobs, strict=True):
                    first = blob is bundle.blobs[0]
                    part = ExchangePart(member=member, size=blob.size, total=bundle.size if first else 0)
                    stream.send_message(protocol.encode(part))
                    await stream.drained()
                    for offset in range(0, blob.size, _PIECE):
                        data = await self._read_blob(blob, offset, min(_PIECE, blob.size - offset))
                        for begin in range(0, len(data), _CHUNK):
                            chunk = data[begin : begin + _CHUNK]
                            bundle.passes(position, chunk)
                            position += len(chunk)
                            await stream.send(1, chunk)
                stream.send_message(protocol.encode(FileEnd(sha256=bundle.sha256)))
                stream.end()
        except LinesyncError as error:
            refuse(stream, error)  # the client gets the error if its channel still works
            return False
        return True

    async def _read_blob(self, blob: Blob, offset: int, count: int) -> bytes:
        if blob.in_memory:
            return blob.read(offset, count)
        try:
            data: bytes = await self._desk.do(lambda: blob.read(offset, count))
        except Hung as error:
            raise LinesyncFailed(
                f"the hub cannot read the stored data: {error.strerror}; {OTHERS_MAY_HAVE_IT} repeat it"
            ) from None
        return data

    def _confirm(self, bundle: _Bundle) -> None:
        """Record that the client has all data."""
        self._home.requests.services.confirm(self._arrival, self._client)
        self._done(bundle)

    def _done(self, bundle: _Bundle) -> None:
        bundle.unconfirmed.discard(self.key)
        if not bundle.unconfirmed:
            self._home.forget(bundle)

    def _close(self) -> None:
        """Clean up, except for results that a retry may ask for."""
        if not self._ended.done():
            self._client_left("the hub gave up")
        self._home.leave(self)
        if self._blob is not None and not self._given:
            self._home.blobs.drop(self._blob.number)
        if not self._opening.arrival and self._ended.done():  # without an arrival id, a retry is not possible
            self._home.requests.services.confirm(self._arrival, self._client)
            ended = self._ended.result()
            if isinstance(ended, _Bundle):
                self._done(ended)
