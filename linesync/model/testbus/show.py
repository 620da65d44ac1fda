"""The objects of a test bus as records for display."""

from __future__ import annotations

from ..hosts.membership import Membership
from ..state.namespace import OwnerState
from ..state.testbus import ObjectState
from ..sync.namespaces import Owner
from .objects import Claim, Command, File, Host, Node, Process, Test

__all__ = ["object_state"]


def object_state(node: Node, hosts: Membership, now: float) -> ObjectState:
    """The record of an object."""
    parent = node.parent.handle if node.parent is not None else None
    variables = dict(sorted(node.variables.items()))
    handle, kind, name = node.handle, node.KIND, node.name
    match node:
        case Host():
            up, capabilities = hosts.absent(name) is None, hosts.capabilities(name)
            return ObjectState(handle, kind, name, parent, variables, up=up, capabilities=capabilities)
        case Test():
            since = now - node.since
            if node.owner is None:
                return ObjectState(handle, kind, name, parent, variables, since=since)
            owner = _owner(node.owner, keep=node.keep)
            return ObjectState(handle, kind, name, parent, variables, owner=owner, keep=node.keep, since=since)
        case Claim():
            host, since = node.host.name, now - node.since
            return ObjectState(handle, kind, name, parent, variables, host=host, share=node.share, since=since)
        case File():
            digest, size, mode = node.digest, node.length, node.mode
            return ObjectState(handle, kind, name, parent, variables, digest=digest, size=size, mode=mode)
        case Command():
            return ObjectState(handle, kind, name, parent, variables, arguments=node.arguments)
        case Process():
            host, since = node.claim.host.name, now - node.created
            return ObjectState(
                handle,
                kind,
                name,
                parent,
                variables,
                host=host,
                since=since,
                state=node.state,
                status=node.status,
                signal=node.signal,
                why=node.why,
            )
    raise AssertionError(f"{node} has no record")


def _owner(owner: Owner, *, keep: bool) -> OwnerState:
    client = None if owner.pid or keep else owner.client.number
    return OwnerState(host=owner.host, pid=owner.pid or None, client=client, command=owner.command)
