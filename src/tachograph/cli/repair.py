"""What `doctor --repair` does: moves journals into the store, ends runs that nobody will end, clears what was left."""

from __future__ import annotations

import shutil
from itertools import groupby

from msgspec import Struct

from tachograph.cli.adopt import Adoption
from tachograph.compose import admitter_for, journals_folder, scrubber_for
from tachograph.events.run import Failure
from tachograph.queries.checkup import leftovers, stuck_runs
from tachograph.record.drain import Drained, abandon, find_journals
from tachograph.settings import Settings
from tachograph.store.open import is_remote
from tachograph.store.ports import Store

_GONE = Failure("JournalGone", "the journal of the process that recorded this run is gone", "bug")


class Repaired(Struct, frozen=True, kw_only=True):
    """What was done."""

    events: int
    """Moved from journals into the store."""
    abandoned: int
    """Runs ended for processes that are gone."""
    damaged: int
    """Bytes in journals that were no record."""
    removed: int
    """Unfinished journal folders."""
    finished: bool
    """False when another process is draining, or the store did not take everything."""
    problem: str = ""
    """Why it did not."""


def repair(settings: Settings, store: Store) -> Repaired:
    """Do all of it. Raises StoreError."""
    adoption = Adoption(settings, store)
    drained = adoption.round(None)
    folder = journals_folder(settings)
    known = {each.name for each in find_journals(folder)}
    owners = set() if is_remote(settings.store_url) else {row["owner"] for row in stuck_runs(store, known)}
    ended = sum(_end_runs(settings, store, owner) for owner in sorted(owners))
    left = leftovers(folder)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return _repaired(drained, ended, len(left), str(adoption.problem or ""))


def _repaired(drained: Drained, ended: int, removed: int, problem: str) -> Repaired:
    return Repaired(
        events=drained.events,
        abandoned=drained.abandoned + ended,
        damaged=drained.damaged,
        removed=removed,
        finished=drained.finished,
        problem=problem,
    )


def _end_runs(settings: Settings, store: Store, owner: str) -> int:
    """End what this owner left open, as the drain does when it finds the journal; returns how many runs."""
    steps = store.open_steps(owner)
    runs = [(run, list(of_run)) for run, of_run in groupby(steps, key=lambda step: step.run)]
    events = [event for run, of_run in runs for event in abandon(store, run, of_run, _GONE)]
    if events:
        store.append(admitter_for(settings, store, scrubber_for(settings)).admit(events, scrubbed=True))
    return len(runs)
