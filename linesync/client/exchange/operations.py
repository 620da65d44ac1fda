"""The operation of clients that exchanges data."""

from __future__ import annotations

from collections.abc import Iterable

from ... import protocol
from ..arguments import checked, name_of
from ..sync import DEFAULT, SyncOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import overload

    from .exchanging import Data, ExchangeProgress, Sink
else:  # typing takes a tenth of the time of a small command

    def overload(method):
        """Do nothing; ``typing.overload`` declares several signatures to type checkers."""
        return method


__all__ = ["ExchangeOperations"]


class ExchangeOperations(SyncOperations):
    """Operations that exchange data."""

    @overload
    async def exchange(
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = DEFAULT,
        arrival: str = "",
        within: str = "",
        sink: None = None,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, bytes]: ...

    @overload
    async def exchange(  # noqa: F811
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = DEFAULT,
        arrival: str = "",
        within: str = "",
        sink: Sink,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, int]: ...

    @checked(name=name_of("exchange"))
    async def exchange(  # noqa: F811
        self,
        name: str,
        members: Iterable[str] | str,
        data: Data,
        *,
        member: str = "",
        timeout: float | None = None,
        namespace: str = DEFAULT,
        arrival: str = "",
        within: str = "",
        sink: Sink | None = None,
        progress: ExchangeProgress | None = None,
    ) -> dict[str, bytes] | dict[str, int]:
        """Give data, and get the data of all members when all members have given their data.

        ::

            got = await client.exchange("keys", ["hub"], b"a key")
            print(got)  # {'hub': b'a key'}

        :param members: the members, each ``host`` or ``host#tag``, or a string with a folded list (``sut[1-8],hub``). All
            callers must name the same members.
        :param data: the data to give: bytes, the path of a regular file (:class:`pathlib.Path`) or a binary file. The
            contents of a file are read in pieces, so a file may be larger than the memory.
        :param member: the member that gives the data, one of ``members``; empty for this host.
        :param timeout: seconds within which all members must give their data. 0 succeeds only if all others have already
            given their data. None waits without limit. With a timeout, receiving the data afterwards has no time limit, but
            a pause of 30 s ends it.
        :param arrival: an id for callers that repeat a request after a lost reply. The same id counts once, and gets
            the same data again for ten minutes.
        :param within: the id of a hold that the caller has during the wait; the hub then finds deadlocks through this
            hold.
        :param sink: a function that returns a binary file for a member's bytes. The bytes are then not kept in memory. If
            the exchange raises an error, the contents of these files are invalid.
        :param progress: called with ``giving`` or ``getting``, the number of bytes so far, and the total number of bytes.
        :returns: the bytes of each member (with ``sink``: the number of bytes), sorted by the member's name. Their SHA-256
            was checked.
        :raises TimedOut: the timeout passed. The error names the members that gave data, and the missing members with
            the reason.
        :raises MemberLost: a member was lost before it gave its data.
        :raises Mismatch: other callers named other members, ``member`` is not one of them, or it has already arrived.
        :raises UsageError: the data exceeds the hub's limit for a member (16 MiB by default); nothing was sent.
        :raises LinesyncFailed: the hub or the line was lost, or the data cannot be read or written on this machine.
        """
        from ...model.hosts.members import fold  # imported late, because only exchanges need these two modules
        from .exchanging import exchange

        names = sorted(set(members))
        opening = protocol.ExchangeOpen(
            name=name,
            members=fold(names),
            size=0,
            ns=namespace,
            timeout=timeout,
            member=member,
            arrival=arrival,
            within=within or self.within,
        )
        return await exchange(self.peer, opening, names, data, sink, progress)
