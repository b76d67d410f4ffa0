from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import Ambiguous, InvalidParameter, NotFound
from tachograph.queries.answers.sessions import SessionAsked, SessionsAsked, session, sessions
from tachograph.store.ports import Store
from tests.queries.answers.test_runs import PLANNED
from tests.queries.kept import batch
from tests.queries.logs.desk import RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape

PLANNED_SESSION: dict[str, Any] = {
    "session_id": "s1", "tenant": "default", "user": "u1", "status": "active", "start_time": "2025-06-15T15:06:40Z",
    "updated_at": "2025-06-15T15:06:47Z", "last_run_id": RUN, "runs": 1, "llm_calls": 1, "tool_calls": 1, "errors": 1,
    "interventions": 0, "input_tokens": 1_500, "uncached_tokens": 1_500, "cache_read_tokens": 0,
    "cache_write_tokens": 0, "output_tokens": 500, "reasoning_tokens": 0, "total_tokens": 2_000, "usage_missing": 0,
    "total_cost": 0.075, "unpriced": 0, "reported_cost": 0.0, "head": None,
}  # fmt: skip
PAGE = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}


def test_a_page_of_sessions(store: Store) -> None:
    """A session stands in a list with the sums over its runs; an empty store has none."""
    assert as_json(sessions(store, SessionsAsked())) == {"sessions": [], "total_count": 0, **PAGE}
    store.append(batch(planner().events))
    assert as_json(sessions(store, SessionsAsked())) == {"sessions": [PLANNED_SESSION], "total_count": 1, **PAGE}


def test_one_session(store: Store) -> None:
    """One session comes with its runs, newest first."""
    second = Tape("second", at=BEGAN + 60 * SECOND)
    second.begin("second", session="s1")
    store.append(batch(planner().events, second.events))
    found = as_json(session(store, "s1", SessionAsked(limit=1, offset=1)))
    assert found["session"] == {
        **PLANNED_SESSION, "runs": 2, "user": None, "last_run_id": second.run, "updated_at": "2025-06-15T15:07:40Z",
    }  # fmt: skip
    assert (found["runs"], found["total_count"], found["limit"], found["offset"]) == ([PLANNED], 2, 1, 1)
    first = session(store, "s1", SessionAsked(limit=1))
    assert [run.name for run in first.runs] == ["second"]
    assert as_json(session(store, "s1", SessionAsked(limit=1, cursor=first.next_cursor)))["runs"] == [PLANNED]


def _many(store: Store) -> None:
    tapes = []
    for number, (user, tenant) in enumerate((("u1", "default"), ("u2", "default"), ("u1", "acme"))):
        tape = Tape(f"run {number}", at=BEGAN + number * 60 * SECOND)
        tape.begin(session="same" if number else "Other", user=user, tenant=tenant)
        tape.finish(stop_reason="human_handoff" if number == 1 else "final_answer")
        tapes.append(tape)
    store.append(batch(*(tape.events for tape in tapes)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["acme/same", "default/same", "default/Other"]),
        ({"status": "handed_off"}, ["default/same"]),
        ({"status": "closed"}, []),
        ({"user": "u1"}, ["acme/same", "default/Other"]),
        ({"session_id": "OTHER"}, ["default/Other"]),
        ({"start_date": "2025-06-15T15:08:00Z"}, ["acme/same"]),
        ({"end_date": "2025-06-15T15:07:00Z"}, ["default/Other"]),
    ],
    ids=str,
)
def test_filters(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the sessions that meet it, those with the newest event first."""
    _many(store)
    found = sessions(store, SessionsAsked(**asked))
    assert [f"{each.tenant}/{each.session_id}" for each in found.sessions] == expected
    assert found.total_count == len(expected)


def test_pages(store: Store) -> None:
    """A cursor leads through all sessions, each once."""
    _many(store)
    cursor, seen = None, []
    for _ in range(3):
        page = sessions(store, SessionsAsked(limit=1, cursor=cursor))
        seen += [each.tenant for each in page.sessions]
        cursor = page.next_cursor
    assert (seen, cursor) == (["acme", "default", "default"], None)


def test_whose_session(store: Store) -> None:
    """Where several tenants have a session of this id, the tenant says whose is meant."""
    _many(store)
    with pytest.raises(Ambiguous, match="more than one session begins with 'same': acme, default"):
        session(store, "same", SessionAsked())
    assert session(store, "same", SessionAsked(tenant="acme")).session.user == "u1"
    for name, tenant in (("none", None), ("same", "nobody")):
        with pytest.raises(NotFound, match=f"no session has the id '{name}'"):
            session(store, name, SessionAsked(tenant=tenant))


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name, that of another list too."""
    other = "WzEsMl0"
    for name, value in (("start_date", "soon"), ("end_date", "soon"), ("cursor", other)):
        with pytest.raises(InvalidParameter, match=f"{name}='{value}'"):
            sessions(store, SessionsAsked(**{name: value}))  # type: ignore[arg-type]
