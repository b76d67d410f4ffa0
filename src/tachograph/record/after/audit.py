"""What was done to the records, as records: each deletion, pruning, key and alert is a tiny run of its own.

Its source is `audit`, and that keeps it out of every sum and, unless it is asked for, out of every list. It is over as
soon as it has begun, and holds one event between start and end that says what was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tachograph.events import ids
from tachograph.events.content import inline
from tachograph.events.envelope import Event, KnownBody
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import AUDIT, RunEnded, RunStarted
from tachograph.record.admit import Admitter
from tachograph.store.ports import Store

_encode = msgspec.json.Encoder(order="deterministic").encode


def audit(
    name: str,
    what: LimitHit | Mapping[str, Any],
    *,
    at: int,
    entropy: bytes,
    tenant: str = "default",
    user: str | None = None,
    tags: Sequence[str] = (),
) -> tuple[Event, ...]:
    """The events of one audit run called `name` (`run_deleted`, `pruned`, `alert`, …).

    `what` was done: a LimitHit as it is, or facts that become the note of that name. `at` is UTC ns, `entropy` at least
    6 random bytes for the id; `tenant` is whose data it was about, `user` who did it.
    """
    run = ids.run_id(at, entropy)
    start = RunStarted(
        name=name, execution_id=ids.execution_id(at, run), source=AUDIT, tenant=tenant, user=user, tags=tuple(tags)
    )
    said = what if isinstance(what, LimitHit) else Note(name=name, data=inline(_encode(what).decode()))
    return tiny(run, start, said, at)


def tiny(run: str, start: RunStarted, said: KnownBody, at: int) -> tuple[Event, ...]:
    """A run that begins, says one thing and is over."""
    # Nothing in it takes time, so the one clock serves for both.
    bodies: tuple[KnownBody, ...] = (start, said, RunEnded(status="completed"))
    return tuple(Event(run, seq, at, at, 0, body) for seq, body in enumerate(bodies))


def keep(store: Store, admitter: Admitter, events: Sequence[Event]) -> None:
    """Put audit runs into a store, through the gate as everything else. Raises StoreError."""
    store.append(admitter.admit(events, scrubbed=False))
