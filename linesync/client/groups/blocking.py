"""A member of a group, for scripts without asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .group import Announced, Group, Ring, Step, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..blocking import BlockingClient
    from .events import GroupEvent

__all__ = ["BlockingGroup"]


class BlockingGroup:
    """A member of a group. Its methods are those of :class:`linesync.client.groups.group.Group`, and raise the same errors.

    The script asks the hub for events only while it waits for the next event. It therefore gets ``abort`` only when it asks for
    the next event after the current step.
    """

    def __init__(self, client: BlockingClient, group: Group) -> None:
        self._client = client
        self._group = group

    @property
    def name(self) -> str:
        """The name of the group."""
        return self._group.name

    @property
    def member(self) -> str:
        """This member."""
        return self._group.member

    @property
    def view(self) -> View | None:
        """The view that was delivered last; None before the first view."""
        return self._group.view

    @property
    def ring(self) -> Ring:
        """The id of the view; see :attr:`linesync.client.groups.group.Group.ring`."""
        return self._group.ring

    def events(self) -> Iterator[GroupEvent]:
        """The events in order."""
        while (event := self._client.run_coroutine(self._group.next())) is not None:
            yield event

    def views(self) -> Iterator[View]:
        """The views alone. Messages are dropped, and steps are reported as done."""
        for event in self.events():
            if isinstance(event, View):
                yield event
            elif isinstance(event, Step):
                self.done(event)

    def cast(self, data: bytes, *, state: bool = False) -> None:
        """Send a message to all members."""
        self._client.run_coroutine(self._group.cast(data, state=state))

    def done(self, step: Step, result: str = "done", text: str = "") -> None:
        """Report the end of a step."""
        self._client.run_coroutine(self._group.done(step, result, text))

    def ended(self, service: int, text: str = "") -> None:
        """Report that a service of this member has ended by itself."""
        self._client.run_coroutine(self._group.ended(service, text))

    def announce(self, services: Iterable[Announced]) -> None:
        """Replace the services of this member."""
        self._client.run_coroutine(self._group.announce(services))

    def leave(self) -> None:
        """Leave the group."""
        self._client.run_coroutine(self._group.leave())
