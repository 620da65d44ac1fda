"""Locks: one owner at a time, in order of arrival. Each owner gets a larger fencing token than all earlier owners.

1. A free lock is granted immediately; otherwise the arrival is queued. A grant is provisional until its client confirms
   it. The client then holds the lock or, with *keep*, the client's host holds it.
2. The lock is free when its owner gives it back, when the owner's client is gone, or, with *keep*, when the host is lost.
   The next arrival in the queue then gets the lock with a larger token. A resource that stores the largest token it has seen
   can refuse a client that lost the lock without notice (Kleppmann, "How to do distributed locking").
3. The tokens of all locks of a hub come from one counter. The hub chooses the first token. It is larger than all tokens of
   an earlier life of the hub. If the hub reserves blocks of tokens, new arrivals are refused while few reserved tokens are
   left. A lock that has an owner or a queue may still use these tokens.
4. A lock without an owner and without waits is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile
from math import inf

from ...errors import LinesyncFailed, NotAllowed, TimedOut
from ..decisions import ArrivalId, Outcome, Token
from ..kept.objects import KeptLock
from ..kept.rows import Rows, by_number
from ..kept.waits import AtLock
from ..participants import Cause, Client, check_name, check_timeout, names_in_words, seconds_in_words
from ..state.sync.lock import LockState, Owner
from .place import Acting, Edge, Place
from .waits import Hold, Wait, Waits

__all__ = ["Locks"]

NAMES_MAX = 10_000  # the maximum number of locks that have an owner
TOKENS_SPARE = 1 << 18  # the number of reserved tokens below which new arrivals are refused; more than all waits need
QUEUE_LISTED = 100  # the maximum number of waiting names in the details of one error
_TOKEN = "next token"


class Locks:
    """All locks of a hub, by namespace and name.

    :param first_token: the first fencing token.
    :ivar last_token: the end of the reserved tokens (the first token that is not reserved); None for no limit.
    """

    def __init__(self, waits: Waits, *, first_token: int = 1) -> None:
        self.waits = waits
        self.last_token: int | None = None
        self._named: dict[tuple[str, str], _Lock] = {}
        self._next = first_token
        waits.journal.source("lock", self._kept, lambda: self._named)
        waits.journal.counter(_TOKEN, lambda: self._next)

    def __len__(self) -> int:
        return len(self._named)

    def take(
        self,
        arrival: ArrivalId,
        namespace: str,
        name: str,
        client: Client,
        now: float,
        timeout: float | None = None,
        *,
        keep: bool = False,
        within: str = "",
    ) -> list[Outcome]:
        """Take a lock, or wait for it.

        :param timeout: seconds; 0 polls, None waits without limit.
        :param keep: whether the client's host owns the lock, even after the client has ended.
        :param within: the arrival id of the hold on whose behalf this arrival waits; empty for none.
        :returns: :class:`Token`, provisional; an empty list while it waits; else its failure: UsageError (an invalid name or
            timeout), TimedOut (a poll of a lock that has an owner), LinesyncFailed (too many locks or waits).
        """

        def join() -> list[Outcome]:
            check_name("namespace", namespace)
            check_name("lock", name)
            check_timeout(timeout)
            lock = self._named.get((namespace, name))
            if self.tokens_left < TOKENS_SPARE:
                raise LinesyncFailed(
                    f"lock '{name}' cannot be taken: the hub has no fencing token left that it has saved; see its log for the"
                    " reason"
                )
            if lock is None:
                if len(self._named) >= NAMES_MAX:
                    raise LinesyncFailed(
                        f"lock '{name}' cannot be taken: {NAMES_MAX} locks of this hub have owners already; "
                        "give some back, or reset them"
                    )
                lock = _Lock(self, namespace, name)
            if timeout == 0 and (lock.owner is not None or now < self.waits.holds_from):
                raise lock.taken(f"{lock.title} is taken")
            wait = self.waits.open(arrival, client, lock, client.host, now, timeout, within)
            if lock.key not in self._named:
                lock.number = self.waits.journal.number()
                self._named[lock.key] = lock
                self.waits.journal.mark("lock", lock.key, new=True)
            return lock.join(wait, keep, now)

        return self.waits.admit(arrival, client, now, join)

    def give_back(self, namespace: str, name: str, token: int, host: str, now: float) -> list[Outcome]:
        """Give back a lock that a host or a client of the host owns.

        :raises NotAllowed: the host does not own the lock, or owns it with another token.
        """
        lock = self._named.get((namespace, name))
        owner = lock.owner if lock is not None else None
        if lock is None or owner is None or owner.client.host != host or lock.token != token:
            state = "it has no owner" if lock is None or owner is None else f"{owner.name} has it (token {lock.token})"
            title = _Lock(self, namespace, name).title
            raise NotAllowed(
                f"{host} does not own {title} under token {token}: {state}; another host may have changed the "
                "resource that the lock guards, so take the lock again and start over",
                details={"owner": None if owner is None else owner.name, "token": lock.token if lock else None},
            )
        return self.waits.give_back(owner, now)

    @property
    def tokens_left(self) -> float:
        """The number of reserved tokens that were not used."""
        return inf if self.last_token is None else self.last_token - self._next

    def reserved(self, first: int, last: int) -> None:
        """Use the tokens from ``first`` to ``last`` (not included), which are reserved for this hub."""
        self._next, self.last_token = max(self._next, first), last
        self.waits.journal.mark("counter", _TOKEN)

    def next_token(self) -> int:
        token, self._next = self._next, self._next + 1
        self.waits.journal.mark("counter", _TOKEN)
        return token

    def remove(self, lock: _Lock) -> None:
        """Forget a lock without an owner and without waits."""
        self._named.pop(lock.key, None)
        self.waits.journal.mark("lock", lock.key)

    # -- storing ---------------------------------------------------------------------------------------------------------

    def _kept(self, key: tuple[str, str]) -> KeptLock | None:
        lock = self._named.get(key)
        return lock.kept_itself() if lock is not None else None

    def restore(self, rows: Rows) -> None:
        """Restore the tokens and the locks, but not their owners and waits.

        :raises BadRow: a row is not valid.
        """

        def restore_row(key: list[str], kept: KeptLock) -> None:
            namespace, name = key
            lock = _Lock(self, namespace, name)
            lock.restore(kept, rows.shift)
            lock.number = self.waits.journal.numbered(kept.number)
            self._named[lock.key] = lock

        self._next = rows.counter(_TOKEN, self._next)
        rows.each("lock", KeptLock, restore_row, by_number)

    def place(self, at: AtLock) -> Place:
        """The lock of a stored wait.

        :raises KeyError: it is not stored.
        """
        return self._named[at.namespace, at.lock]

    def names(self) -> set[tuple[str, str]]:
        """The namespace and name of each object that a reset would forget."""
        return set(self._named)

    def reset(self, namespace: str, names: Iterable[str] | None, now: float) -> tuple[int, list[Wait]]:
        """Free locks of a namespace.

        :param names: the locks; None for all locks of the namespace.
        :returns: the number of locks, and the waits that the caller must fail, including those of the owners.
        """
        keys = [(namespace, name) for name in dict.fromkeys(names)] if names is not None else list(self._named)
        found = [self._named[key] for key in keys if key[0] == namespace and key in self._named]
        return len(found), [wait for lock in found for wait in lock.all_waits()]

    def status(self, now: float) -> list[LockState]:
        """The state of each lock."""
        return [lock.state(now) for lock in self._named.values()]


class _Lock(Place):
    """One named lock."""

    OWNED = True

    def __init__(self, home: Locks, namespace: str, name: str) -> None:
        super().__init__("lock", namespace, name)
        self.owner: Wait | None = None
        self.token = 0
        """The owner's token."""
        self._since = 0.0
        self._home = home
        self._queue: OrderedDict[Wait, None] = OrderedDict()
        self._kept: set[Wait] = set()

    def all_waits(self) -> list[Wait]:
        return [*([self.owner] if self.owner is not None else []), *self._queue]

    def join(self, wait: Wait, keep: bool, now: float) -> list[Outcome]:
        """Queue an arrival, and grant the lock if it is free."""
        self._queue[wait] = None
        if keep:
            self._kept.add(wait)
        return self.settle(now)

    def taken(self, headline: str, before: Wait | None = None) -> TimedOut:
        """The error for a timeout: the owner, and the arrivals in the queue before the wait ``before`` (None: all).

        :param headline: the first clause of the message.
        """
        owner = self.owner.name if self.owner is not None else ""
        ahead = list(takewhile(lambda wait: wait is not before, self._queue))
        queue = [wait.name for wait in ahead[:QUEUE_LISTED]]
        first = f"; waiting: {names_in_words(queue, len(ahead))}" if queue else ""
        if self.owner is None:
            state = "the hub has just started, and a host may still have it from before"
        elif self.owner.lapses:
            state = f"{owner} is lost, and may have it (token {self.token}) until its lease ends"
        else:
            state = f"{owner} has it (token {self.token})"
        return TimedOut(
            f"{headline}: {state}{first}",
            details={"owner": owner, "token": self.token, "queue": queue},
        )

    def timed_out(self, wait: Wait) -> TimedOut:
        return self.taken(f"timed out after {seconds_in_words(wait.timeout or 0)} at {self.title}", wait)

    def leave(self, wait: Wait, cause: Cause) -> None:
        self._kept.discard(wait)
        if wait is self.owner:
            self.owner = None
            self._home.waits.note("lock given back", self.key, wait.name, self.token, str(cause), wait.client)
        else:
            del self._queue[wait]

    def confirmed(self, wait: Wait) -> Hold:
        return Hold.BY_HOST if wait in self._kept else Hold.BY_CLIENT

    def settle(self, now: float) -> list[Outcome]:
        if self.owner is not None or (self._queue and now < self._home.waits.holds_from):
            return []
        if not self._queue:
            self._home.remove(self)
            return []
        self.owner, _ = self._queue.popitem(last=False)
        self.token = self._home.next_token()
        self._since = now
        self._home.waits.journal.mark("lock", self.key)
        self._home.waits.note("lock taken", self.key, self.owner.name, self.token, client=self.owner.client)
        return [self._home.waits.grant(self.owner, Token(token=self.token), now, provisional=True)]

    # -- storing ------------------------------------------------------------------------------------------------------------

    def kept_itself(self) -> KeptLock:
        return KeptLock(self.number, self.token, self._since)

    def restore(self, kept: KeptLock, shift: float) -> None:
        self.token, self._since = kept.token, kept.since + shift

    def kept(self, wait: Wait) -> AtLock:
        return AtLock(*self.key, wait in self._kept)

    def restore_wait(self, wait: Wait, at: AtLock) -> None:
        if wait.granted is None:
            self._queue[wait] = None
        elif self.owner is None and wait.granted.value == Token(token=self.token):
            self.owner = wait
        else:
            raise ValueError(f"{self.title} has another owner")
        if at.keep:
            self._kept.add(wait)

    # -- deadlocks and status -----------------------------------------------------------------------------------------------

    def could_proceed(self, wait: Wait, acting: Acting) -> bool:
        return self.owner is None or acting.holder(self.owner)

    def waits_for(self, wait: Wait, acting: Acting) -> list[Edge]:
        if self.owner is None or acting.holder(self.owner):
            return []
        return [Edge(tuple(acting.holder_waits(self.owner)), f"{self.title}, which {self.owner.name} has")]

    def state(self, now: float) -> LockState:
        namespace, name = self.key
        return LockState(
            namespace=namespace,
            name=name,
            token=self.token,
            owner=self._owner(self.owner, now) if self.owner is not None else None,
            queue=tuple([wait.state(now) for wait in self._queue]),
        )

    def _owner(self, wait: Wait, now: float) -> Owner:
        return Owner(
            name=wait.name,
            client=None if wait in self._kept else wait.client.number,
            confirmed=wait.held is not None,
            lost=wait.lapses,
            since=now - self._since,
        )
