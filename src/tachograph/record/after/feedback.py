"""Feedback: a score that comes when its run is over, or from somebody who does not own it.

A run's log belongs to the process that records it, and the next number in it is that process's to give. So a score from
outside is a tiny run of its own: of source `audit`, below the run that it is about, with that run's execution id,
session and tenant. It is found with them, goes with them, and is counted nowhere.
"""

from __future__ import annotations

from msgspec import Struct

from tachograph.events import ids
from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.events.run import AUDIT, RunStarted
from tachograph.record.after.audit import tiny

NAME = "scored"
"""Of such runs."""


class About(Struct, frozen=True, kw_only=True):
    """The run that a score is about."""

    run: str
    execution_id: str
    tenant: str
    session: str | None


def feedback(score: Score, about: About, *, at: int, entropy: bytes, user: str | None = None) -> tuple[Event, ...]:
    """The events of the run that holds the score; its `target` is a step of the run that it is about.

    `at` is UTC ns, `entropy` at least 6 random bytes for the id, `user` who sent it.
    """
    run = ids.run_id(at, entropy)
    start = RunStarted(
        name=NAME, execution_id=about.execution_id, parent_run=about.run, tenant=about.tenant, session=about.session,
        source=AUDIT, user=user,
    )  # fmt: skip
    return tiny(run, start, score, at)
