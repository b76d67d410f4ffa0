from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.limit import LimitHit
from tachograph.events.note import Score
from tachograph.queries.answers.audit import AuditAsked, audit
from tachograph.record.after import audit as record
from tachograph.record.after.feedback import About, feedback
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN

PAGE = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}


def _done(store: Store) -> list[str]:
    """A deletion with a long list of runs, and an alert a minute later; the ids of these entries."""
    deleted = record.audit("run_deleted", {"runs": [RUN] * 30}, at=BEGAN, entropy=b"123456", tenant="acme", user="ada")
    alert = LimitHit(metric="cost", scope="tenant", mode="observe", used=3, threshold=2, reason="an hour cost $3")
    fired = record.audit("alert", alert, at=BEGAN + 60 * SECOND, entropy=b"abcdef")
    store.append(batch(deleted, fired, planner().events))
    return [deleted[0].run, fired[0].run]


def test_a_page_of_the_audit(store: Store) -> None:
    """An entry says what was done, when, by whom, to whose records; an empty store has none."""
    assert as_json(audit(store, AuditAsked())) == {"entries": [], "total_count": 0, **PAGE}
    deleted, fired = _done(store)
    alert: dict[str, Any] = {
        "id": fired, "time": "2025-06-15T15:07:40Z", "action": "alert", "tenant": "default", "user": None,
        "details": None,
        "limit": {
            "metric": "cost", "scope": "tenant", "mode": "observe", "used": 3.0, "requested": 0.0, "threshold": 2.0,
            "reason": "an hour cost $3", "refused_kind": None, "refused_name": None, "evidence": [],
        },
    }  # fmt: skip
    deletion = {
        "id": deleted, "time": "2025-06-15T15:06:40Z", "action": "run_deleted", "tenant": "acme", "user": "ada",
        "details": {"runs": [RUN] * 30}, "limit": None,
    }  # fmt: skip
    assert as_json(audit(store, AuditAsked())) == {"entries": [alert, deletion], "total_count": 2, **PAGE}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"action": "run_deleted"}, ["run_deleted"]),
        ({"user": "ada"}, ["run_deleted"]),
        ({"user": "nobody"}, []),
        ({"start_date": "2025-06-15T15:07:00Z"}, ["alert"]),
        ({"end_date": "2025-06-15T15:07:00Z"}, ["run_deleted"]),
        ({"limit": 1, "offset": 1}, ["run_deleted"]),
    ],
    ids=str,
)
def test_filters(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the entries that meet it, newest first."""
    _done(store)
    found = audit(store, AuditAsked(**asked))
    assert [entry.action for entry in found.entries] == expected
    assert found.total_count == (2 if "limit" in asked else len(expected))


def test_feedback_is_no_entry(store: Store) -> None:
    """A score from outside stands below the run it is about: it is in the list of scores and not here."""
    about = About(run=RUN, execution_id=EXECUTION, tenant="default", session="s1")
    store.append(batch(feedback(Score(name="thumbs"), about, at=BEGAN, entropy=b"123456")))
    assert audit(store, AuditAsked()).entries == ()


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon'"):
            audit(store, AuditAsked(**{name: "soon"}))  # type: ignore[arg-type]
