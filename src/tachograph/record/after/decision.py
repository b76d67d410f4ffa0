"""A person decides about a tool call that a paused run waits for, from any process.

The decision is a note in the run's own log, appended by compare: of two people who decide at the same time one is
first, and the other is told who was. It is bound to the call's id, its tool and a hash of its arguments; what does not
fit, came too late, or could not be kept as it was given, is refused, and nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tachograph.errors import ApprovalRefused, NotFound, StoreUnavailable
from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.fold.approvals import DECIDED, Approval, Decided, approvals, decided_of
from tachograph.fold.handoffs import value_of
from tachograph.record.admit import Admitter
from tachograph.record.after.append import append, following
from tachograph.store.ports import Batch, Store
from tachograph.store.query import Query, Where

TRIES = 8
"""How often it is tried again when something else was appended meanwhile."""
_encode = msgspec.json.Encoder(order="deterministic").encode


def decide(store: Store, admitter: Admitter, run: str, said: Decided) -> Approval:
    """Record a decision about a call of this run; the request as it stands then.

    `said.at` is now, in UTC ns. Raises NotFound for a run or a call that is not there, ApprovalRefused for a decision
    that cannot be taken, StoreError.
    """
    name = f"{run}.{said.slot}"
    for _ in range(TRIES):
        row = _row(store, run)
        events = list(store.read(run, limit=row["next_seq"]))
        found = _checked(name, row["status"], approvals(events, store.fetch).get(said.slot), said)
        note = Note(name=DECIDED, data=inline(_encode(said).decode()))
        new = following(events, [(note, 0)], max(said.at, events[-1].at))
        batch = admitter.admit(new, scrubbed=False)
        _check_kept(name, batch, said)
        if append(store, batch):
            return msgspec.structs.replace(found, decided=said)
    raise StoreUnavailable(store.url, f"run {run} is being written to: try again")


def _row(store: Store, run: str) -> Mapping[str, Any]:
    rows = store.find(Query("runs", (Where("id", "eq", run),), ("status", "next_seq"), limit=1)).rows
    if not rows:
        raise NotFound("run", run)
    return rows[0]


def _checked(name: str, status: str, found: Approval | None, said: Decided) -> Approval:
    """The request, if this decision about it can be taken."""
    if found is None:
        raise NotFound("approval", name)
    if not found.is_about(said):
        wanted = f"call {found.call_id!r} of {found.tool} with the arguments {found.arguments_hash}"
        raise ApprovalRefused(name, "mismatch", f"what waits is {wanted}: look at it again")
    if (before := found.decided) is not None:
        raise ApprovalRefused(name, "decided", f"{before.by} has decided already: {before.decision}", before.by)
    if status != "paused":
        raise ApprovalRefused(name, "not_waiting", f"the run is {status}, and waits for nobody")
    if found.expired(said.at):
        raise ApprovalRefused(name, "expired", "nobody decided in time, and it counts as denied")
    _check_hidden(name, found, said)
    return found


def _check_hidden(name: str, found: Approval, said: Decided) -> None:
    """Arguments that are not recorded are gone: a call with some can be denied, or edited so that it needs none."""
    needed = found.hidden if said.decision == "allow" else ()
    given = [one for one in found.hidden if one in (said.arguments or {})]
    if needed or given:
        which = ", ".join(needed or given)
        raise ApprovalRefused(name, "not_kept", f"the arguments {which} are not recorded: deny it, or leave them out")


def _check_kept(name: str, batch: Batch, said: Decided) -> None:
    """Nobody runs anything with arguments that redaction changed, or that are not kept."""
    body = batch.events[0].body
    kept = value_of(body.data, lambda hashes: batch.payloads) if isinstance(body, Note) else None
    found = decided_of(kept)
    if found is None or (found.decision, found.arguments) != (said.decision, said.arguments):
        raise ApprovalRefused(name, "not_kept", "what was given would be recorded changed (a secret?), or not at all")
