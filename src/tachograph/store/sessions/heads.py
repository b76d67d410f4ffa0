"""What may become of heads: one writer at a time, and nothing is written by who is not, or who did not see the last.

A lease ends when it is given back, when its time is over and somebody else wants it, or when its owner is dead. Who has
to wait has a ticket, and goes before all who came later; one of which nothing was heard for a while is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from msgspec import UNSET, structs

from tachograph.errors import SessionClosed, SessionConflict, SessionHandedOff
from tachograph.store.sessions.head import (
    About,
    Changes,
    Fate,
    Head,
    Held,
    Key,
    Lease,
    Status,
    Taken,
    Waiting,
)
from tachograph.store.sessions.port import Cabinet, Table

SECOND = 1_000_000_000
STALE = 2 * SECOND
"""After so long without a sign a ticket keeps nobody out."""
_AGAIN = SECOND // 2
"""How old that sign may be before it is given anew."""
_NOTHING = About()


class Heads:
    """The heads of one store, for one process. Times are UTC nanoseconds. Raises StoreUnavailable.

    `owner` names this process to others, `holder` to people, and `is_alive` tells whether the process of such a name
    lives; it is asked inside a transaction, so it must be quick.
    """

    def __init__(self, cabinet: Cabinet, owner: str, holder: str, is_alive: Callable[[str], bool]) -> None:
        self._cabinet, self._owner, self._holder, self._is_alive = cabinet, owner, holder, is_alive

    # ---- looking --------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Head | None:
        """The head of a session; None when there is none."""
        return self._cabinet.look(lambda table: table.get(key))

    def several(self, keys: Iterable[Key]) -> Mapping[Key, Head]:
        """The heads of these sessions, of those that have one."""
        wanted = list(keys)
        found = self._cabinet.look(lambda table: [table.get(key) for key in wanted])
        return {head.key: head for head in found if head is not None}

    def newest(
        self, *, tenant: str | None = None, status: Status | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Head]:
        """Heads, the one that changed last first; of one tenant, and of those that stand so, where that is said."""
        return self._cabinet.look(lambda table: table.newest(tenant, status, limit, offset))

    def holds(self, head: Head, now: int) -> Lease | None:
        """The lease, if its owner lives and its time is not over."""
        lease = head.lease
        return lease if lease is not None and self._lasts(lease, now) else None

    # ---- one writer -----------------------------------------------------------------------------------------------

    def acquire(
        self, key: Key, now: int, lasts: int, *, ticket: int | None = None, supersede: bool = False,
        handed_off: bool = False, about: About = _NOTHING,
    ) -> Taken | Held:  # fmt: skip
        """The lease for `lasts` ns, or a ticket to ask again with. Raises SessionClosed, SessionHandedOff.

        With `supersede` the turn that is under way is asked to end. `handed_off` says that this may be a session that
        a person has.
        """
        if ticket is not None:
            held = self._cabinet.look(lambda table: self._as_before(table.get(key), ticket, now, supersede=supersede))
            if held is not None:
                return held
        wanted = partial(self._acquire, key, now, lasts, ticket, about, supersede=supersede, handed_off=handed_off)
        return self._cabinet.change(wanted)

    def withdraw(self, key: Key, ticket: int) -> None:
        """Wait no more."""

        def work(table: Table) -> None:
            head = table.get(key)
            if head is not None and any(one.ticket == ticket for one in head.waiting):
                table.put(structs.replace(head, waiting=_without(head.waiting, ticket)))

        self._cabinet.change(work)

    def renew(self, leases: Mapping[Key, int], now: int, lasts: int) -> Mapping[Key, Fate]:
        """Hold leases, by their epochs, for `lasts` ns more; what became of each."""

        def work(table: Table) -> Mapping[Key, Fate]:
            fates = {}
            for key, epoch in leases.items():
                head = table.get(key)
                fates[key] = _fate(head, epoch)
                if head is not None and head.lease is not None and fates[key] != "lost":
                    lease = structs.replace(head.lease, until=max(head.lease.until, now + lasts))
                    table.put(structs.replace(head, lease=lease))
            return fates

        return self._cabinet.change(work)

    def fates(self, leases: Mapping[Key, int]) -> Mapping[Key, Fate]:
        """What became of leases, by their epochs."""
        return self._cabinet.look(lambda table: {key: _fate(table.get(key), epoch) for key, epoch in leases.items()})

    def begin(self, key: Key, epoch: int, run: str) -> None:
        """A run of this turn was begun. Raises SessionConflict when the lease was lost."""

        def work(table: Table) -> None:
            head = _ours(table, key, epoch)
            table.put(structs.replace(head, unfinished=(*head.unfinished, run)))

        self._cabinet.change(work)

    def commit(self, key: Key, epoch: int, version: int, changes: Changes, now: int) -> Head:
        """Make the changes, if the lease is still ours and nobody changed anything since `version`; the head then.

        Raises SessionConflict; then nothing was changed.
        """

        def work(table: Table) -> Head:
            head = _ours(table, key, epoch)
            if head.version != version:
                raise SessionConflict(key[1], f"it has changed: version {head.version}, not {version}")
            found = _changed(head, changes)
            found = structs.replace(found, version=version + 1, updated_at=max(now, head.updated_at))
            table.put(found)
            return found

        return self._cabinet.change(work)

    def release(self, key: Key, epoch: int, unfinished: tuple[str, ...] = ()) -> bool:
        """Give the lease back; whether it was ours. What was not committed is no part of the session.

        But for runs of earlier writers that are still `unfinished`.
        """

        def work(table: Table) -> bool:
            head = table.get(key)
            if head is None or _fate(head, epoch) == "lost":
                return False
            table.put(structs.replace(head, lease=None, unfinished=unfinished))
            return True

        return self._cabinet.change(work)

    # ---- from outside ---------------------------------------------------------------------------------------------

    def close_session(self, key: Key, now: int) -> Head | None:
        """No turn begins any more; one that is under way may end. None when there is no such session."""
        return self._cabinet.change(partial(_stand, key, "closed", now))

    def reopen(self, key: Key, now: int) -> Head | None:
        """Turns may begin again: of a session that was closed, or that a person had."""
        return self._cabinet.change(partial(_stand, key, "active", now))

    def reset(self, key: Key, now: int, *, history: bool = True, state: bool = True) -> Head | None:
        """Active again, without history and state. The log keeps what was said; a turn under way is lost."""

        def work(table: Table) -> Head | None:
            head = _stand(key, "active", now, table)
            if head is None or not (history or state):
                return head
            found = structs.replace(head, version=head.version + 1, lease=None, unfinished=())
            if history:
                found = structs.replace(found, history=None, agent=None)
            if state:
                found = structs.replace(found, state={}, state_version=0)
            table.put(found)
            return found

        return self._cabinet.change(work)

    def forget(self, runs: Collection[str]) -> int:
        """Remove the heads whose history is in one of these runs, with their state; how many."""

        def work(table: Table) -> int:
            keys = table.told_by(runs)
            for key in keys:
                table.remove(key)
            return len(keys)

        return self._cabinet.change(work) if self._cabinet.look(lambda table: table.told_by(runs)) else 0

    def close(self) -> None:
        """Let go of files; the next use opens them again."""
        self._cabinet.close()

    # ---- how it is decided ----------------------------------------------------------------------------------------

    def _acquire(
        self, key: Key, now: int, lasts: int, ticket: int | None, about: About, table: Table, *, supersede: bool,
        handed_off: bool,
    ) -> Taken | Held:  # fmt: skip
        head = table.get(key) or Head(tenant=key[0], id=key[1], created_at=now, updated_at=now, epoch=now)
        if head.status == "closed":
            raise SessionClosed(head.id)
        if head.status == "handed_off" and not handed_off:
            raise SessionHandedOff(head.id)
        others = [one for one in head.waiting if one.ticket != ticket and self._waits(one, now)]
        lease = head.lease
        if (lease is None or not self._lasts(lease, now)) and _is_first(ticket, others):
            epoch = max(head.epoch + 1, now)
            ours = Lease(epoch, self._owner, self._holder, now, now + lasts)
            head = structs.replace(_told(head, about), lease=ours, epoch=epoch, waiting=tuple(others))
            table.put(head)
            return Taken(head, lease)
        mine = Waiting(head.tickets + 1 if ticket is None else ticket, self._owner, now)
        if lease is not None and supersede:
            lease = structs.replace(lease, superseded=True)
        tickets = max(head.tickets, mine.ticket)
        table.put(structs.replace(head, lease=lease, tickets=tickets, waiting=(*others, mine)))
        return Held(mine.ticket, lease)

    def _as_before(self, head: Head | None, ticket: int, now: int, *, supersede: bool) -> Held | None:
        """That it is held, if nothing need be written to say so."""
        lease = None if head is None else head.lease
        if head is None or head.status == "closed" or lease is None or not self._lasts(lease, now):
            return None
        known = any(one.ticket == ticket and now - one.seen < _AGAIN for one in head.waiting)
        return Held(ticket, lease) if known and (lease.superseded or not supersede) else None

    def _lasts(self, lease: Lease, now: int) -> bool:
        return lease.until > now and self._lives(lease.owner)

    def _waits(self, one: Waiting, now: int) -> bool:
        return now - one.seen < STALE and self._lives(one.owner)

    def _lives(self, owner: str) -> bool:
        return owner in ("", self._owner) or self._is_alive(owner)


def _is_first(ticket: int | None, others: Sequence[Waiting]) -> bool:
    return not others if ticket is None else all(ticket < one.ticket for one in others)


def _without(waiting: Sequence[Waiting], ticket: int) -> tuple[Waiting, ...]:
    return tuple(one for one in waiting if one.ticket != ticket)


def _fate(head: Head | None, epoch: int) -> Fate:
    lease = None if head is None else head.lease
    if lease is None or lease.epoch != epoch:
        return "lost"
    return "superseded" if lease.superseded else "held"


def _ours(table: Table, key: Key, epoch: int) -> Head:
    head = table.get(key)
    if head is None:
        raise SessionConflict(key[1], "it was erased")
    if head.lease is None or head.lease.epoch != epoch:
        taken = "it was reset" if head.lease is None else f"{head.lease.holder} has it now"
        raise SessionConflict(key[1], f"the lease was lost: {taken}")
    return head


def _told(head: Head, about: About) -> Head:
    given = {name: value for name in ("user", "platform", "refs") if (value := getattr(about, name)) is not None}
    return structs.replace(head, **given)


def _changed(head: Head, changes: Changes) -> Head:
    given = {name: value for name, value in structs.asdict(changes).items() if value is not UNSET}
    if head.status == "closed":
        given.pop("status", None)
    return structs.replace(head, **given)


def _stand(key: Key, status: Status, now: int, table: Table) -> Head | None:
    head = table.get(key)
    if head is not None:
        head = structs.replace(head, status=status, updated_at=max(now, head.updated_at))
        table.put(head)
    return head
