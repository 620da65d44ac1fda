"""Distinct hosts for several wants: a maximum matching of a bipartite graph, with augmenting paths.

The result depends only on the input. The wants are matched in their order, and each prefers its first candidates (Kuhn, "The
Hungarian method for the assignment problem", 1955, in its simple form for matchings without weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["match"]

_Host = TypeVar("_Host")


def match(candidates: Sequence[Sequence[_Host]]) -> list[_Host] | None:
    """Choose a different host for each want.

    :param candidates: for each want, its possible hosts, the best first.
    :returns: the host of each want; None if there is no such choice.
    """
    user: dict[_Host, int] = {}
    for want in range(len(candidates)):
        if not _place(want, candidates, user):
            return None
    chosen = {want: host for host, want in user.items()}
    return [chosen[want] for want in range(len(candidates))]


def _place(first: int, candidates: Sequence[Sequence[_Host]], user: dict[_Host, int]) -> bool:
    """Match one more want: find the shortest path of changes to the wants that are matched already."""
    came: dict[_Host, int] = {}
    """Each host that was reached, with the want that would take it."""
    held: dict[int, _Host] = {want: host for host, want in user.items()}
    todo = [first]
    for want in todo:
        for host in candidates[want]:
            if host in came:
                continue
            came[host] = want
            if host in user:
                todo.append(user[host])
                continue
            at: _Host | None = host
            while at is not None:
                taker = came[at]
                user[at], at = taker, held.get(taker)
            return True
    return False
