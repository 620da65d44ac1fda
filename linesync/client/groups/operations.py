"""The operations for groups, as coroutines for both drivers. Other modules for groups are imported when they are needed."""

from __future__ import annotations

from collections.abc import Iterable

from ... import protocol
from ...model.names import check_member
from ..arguments import RULES, checked, name_of, optional_bytes, text
from ..states import read_json, read_state
from ..sync import DEFAULT, SyncOperations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.state.group import Announced, GroupState
    from .group import Group

__all__ = ["GroupOperations"]


def _tag(parameter: str, value: object) -> str:
    """The rule for the tag of a member."""
    tag = text(parameter, value)
    if tag:
        check_member(f"host#{tag}")
    return tag


def _bytes(parameter: str, value: object) -> bytes:
    """The rule for the data of a message."""
    data = optional_bytes(parameter, value)
    if data is None:
        raise TypeError(f"invalid {parameter} None: expected bytes; encode a text with text.encode()")
    return data


def _service(parameter: str, value: object) -> int | None:
    """The rule for the id of a service, or None."""
    return None if value is None else int(RULES["count"](parameter, value))


class GroupOperations(SyncOperations):
    """The operations for groups."""

    @checked(name=name_of("group"), tag=_tag)
    async def group(
        self,
        name: str,
        *,
        namespace: str = DEFAULT,
        tag: str = "",
        services: Iterable[Announced] = (),
        quorum: int = 0,
        init: str = "first",
        activate: str = "after",
        on_failure: str = "retry",
        retries: int = 5,
        backoff: float = 1.0,
        timeout: float | None = None,
    ) -> Group:
        """Become a member of a group, until :meth:`Group.leave` or the end of this connection.

        The parameters from ``quorum`` to ``backoff`` are the terms of the group. The first member sets them. All other members
        must have the same terms.

        :param tag: the member is ``host#tag``; by default, it is this host.
        :param services: the services that this member runs together with the others.
        :param quorum: the smallest number of members with which the group delivers messages and runs services.
        :param init: ``first``: all ``init`` steps run before the first ``process``; ``in-turn``: the ``init`` of each service
            runs directly before its ``process``.
        :param activate: ``after`` or ``before`` the barrier of the service.
        :param on_failure: the reaction to a failed or late step: ``retry``, ``exclude`` (its member) or ``stop``.
        :param retries: the maximum number of retries.
        :param backoff: seconds until the first retry. Each further delay is twice as long, up to 60 s.
        :raises Mismatch: the member is in the group already, or the group has other terms.
        """
        from .group import Group, services_text

        terms = _terms(
            quorum=quorum, init=init, activate=activate, on_failure=on_failure, retries=retries, backoff=backoff
        )
        request = protocol.GroupJoin(
            name=name, ns=namespace, tag=tag, Terms=terms, Services=services_text(tuple(services))
        )
        number, member, after = await self._wait(request, "", timeout)
        group = Group(self, self._ask, self._reply, name, namespace, int(number), member, int(after))
        self.groups.add(group)
        return group

    @checked(name=name_of("group"), tag=_tag)
    async def join_group(
        self,
        name: str,
        *,
        namespace: str = DEFAULT,
        tag: str = "",
        quorum: int = 0,
        timeout: float | None = None,
    ) -> str:
        """Make this host a member of a group. It stays a member after the end of this connection. The views include it, but it
        gets no events. Its membership ends with :meth:`leave_group`, or when the host is lost.

        :returns: the member.
        :raises Mismatch: the member is in the group already, or the group has other terms.
        """
        request = protocol.GroupJoin(name=name, ns=namespace, tag=tag, Terms=_terms(quorum=quorum), Passive=True)
        _, member, _ = await self._wait(request, "", timeout)
        return member

    @checked(name=name_of("group"), tag=_tag)
    async def leave_group(
        self, name: str, *, namespace: str = DEFAULT, tag: str = "", timeout: float | None = None
    ) -> None:
        """Remove a member of this host from a group.

        :raises LinesyncFailed: the group has no such member.
        """
        await self._ask(protocol.GroupLeave(name=name, ns=namespace, tag=tag), timeout)

    @checked(name=name_of("group"), data=_bytes, tag=_tag)
    async def cast_group(
        self, name: str, data: bytes, *, namespace: str = DEFAULT, tag: str = "", timeout: float | None = None
    ) -> None:
        """Send a message of at most 1 MiB to all members of a group from a member of this host, for example from a host that
        joined with :meth:`join_group`. Each member of the current view gets it.

        If the view ends before the message is complete, or other messages of the member have not been received, this sends the
        message again.

        :raises LinesyncFailed: this host is not a member, or the group is short. No member gets the message.
        :raises TimedOut: the timeout passed. No member gets the message.
        """
        from .group import cast_as_member

        await cast_as_member(self._ask, self.peer, data, name=name, namespace=namespace, tag=tag, timeout=timeout)

    @checked(name=name_of("group"))
    async def wait_group(
        self, name: str, count: int, *, namespace: str = DEFAULT, timeout: float | None = None, arrival: str = ""
    ) -> tuple[str, ...]:
        """Wait until a group has at least ``count`` members.

        :returns: the members, the oldest first.
        :raises TimedOut: the timeout passed. The error names the current members.
        """
        request = protocol.GroupMembers(name=name, count=count, ns=namespace, timeout=timeout, arrival=arrival)
        return tuple(await self._wait(request, arrival, timeout))

    @checked(name=name_of("group"), service=_service)
    async def rerun_group(
        self, name: str, service: int | None = None, *, namespace: str = DEFAULT, timeout: float | None = None
    ) -> None:
        """Begin another round of a group, in a new view with the same members.

        :param service: the id of the only service of the round; None for all services.
        :raises LinesyncFailed: there is no such group or service, or the group cannot run a round now.
        """
        request = protocol.GroupRerun(name=name, service=-1 if service is None else service, ns=namespace)
        await self._ask(request, timeout)

    @checked(name=name_of("group"))
    async def stop_group(self, name: str, *, namespace: str = DEFAULT, timeout: float | None = None) -> None:
        """Stop a group: its services run their ``stop`` steps, the last service first. Then the group ends. This does not wait
        for the end."""
        await self._ask(protocol.GroupStop(name=name, ns=namespace), timeout)

    @checked(name=name_of("group"))
    async def group_state(self, name: str, *, namespace: str = DEFAULT, timeout: float | None = None) -> GroupState:
        """The state of a group: its view, members and rounds.

        :raises LinesyncFailed: there is no such group.
        """
        from ...model.state.group import GroupState

        (reply,) = await self._ask(protocol.GroupShow(name=name, ns=namespace), timeout)
        return read_state(GroupState, read_json(reply))


def _terms(**terms: object) -> str:
    """The terms of a group as JSON, without the terms that have their default values."""
    import json

    from ...model.state.group import Terms

    special = {name: value for name, value in terms.items() if value != Terms.FIELDS[name][1]}
    return json.dumps(special, separators=(",", ":")) if special else ""
