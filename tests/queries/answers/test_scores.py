from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import InvalidParameter, NotFound
from tachograph.events.note import Score
from tachograph.queries.answers.scores import (
    SESSION,
    GivenScore,
    NewScore,
    ScorePlace,
    ScoresAsked,
    given_score,
    place,
    scores,
)
from tachograph.record.after.feedback import About, feedback
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape

PAGE = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}
ABOUT = About(run=RUN, execution_id=EXECUTION, tenant="default", session="s1")


def _judged(store: Store) -> None:
    """The planner's run judged by its own program, then a step of it and its session by others."""
    tape = planner()
    tape.add(Score(name="correct", value=0.5, kind="rule"))
    step = Score(name="thumbs", value=1.0, label="up", kind="user", comment="nice", author="ada", target=5)
    session = Score(name="solved", label="yes", kind="judge", target=SESSION)
    sent = (
        feedback(score, ABOUT, at=BEGAN + minute * 60 * SECOND, entropy=b"123456")
        for minute, score in ((1, step), (2, session))
    )
    store.append(batch(tape.events, *sent))


def _listed(**facts: Any) -> dict[str, Any]:
    return {
        "value": None, "label": None, "comment": None, "author": None, "step": None, "step_id": None, "run_id": RUN,
        "execution_id": EXECUTION, "run_name": "plan", "session_id": "s1", **facts,
    }  # fmt: skip


def test_a_page_of_scores(store: Store) -> None:
    """A score says what it is about, who gave it and when, whether the program or others gave it."""
    assert as_json(scores(store, ScoresAsked())) == {"scores": [], "total_count": 0, **PAGE}
    _judged(store)
    session = _listed(name="solved", label="yes", kind="judge", scope="session", time="2025-06-15T15:08:40Z")
    step = _listed(
        name="thumbs", value=1.0, label="up", kind="user", comment="nice", author="ada", scope="step", step=5,
        step_id=f"{RUN[:28]}00000005", time="2025-06-15T15:07:40Z",
    )  # fmt: skip
    run = _listed(name="correct", value=0.5, kind="rule", scope="run", time="2025-06-15T15:06:48Z")
    assert as_json(scores(store, ScoresAsked())) == {"scores": [session, step, run], "total_count": 3, **PAGE}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"name": "thumbs"}, ["thumbs"]),
        ({"kind": "rule"}, ["correct"]),
        ({"scope": "run"}, ["correct"]),
        ({"scope": "step"}, ["thumbs"]),
        ({"scope": "session"}, ["solved"]),
        ({"author": "ada"}, ["thumbs"]),
        ({"label": "yes"}, ["solved"]),
        ({"execution_id": EXECUTION}, ["solved", "thumbs", "correct"]),
        ({"session_id": "s2"}, []),
        ({"start_date": "2025-06-15T15:07:00Z", "end_date": "2025-06-15T15:08:00Z"}, ["thumbs"]),
        ({"limit": 1, "offset": 2}, ["correct"]),
    ],
    ids=str,
)
def test_filters(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the scores that meet it, newest first."""
    _judged(store)
    found = scores(store, ScoresAsked(**asked))
    assert [score.name for score in found.scores] == expected
    assert found.total_count == (3 if "limit" in asked else len(expected))


def test_a_score_of_a_tree() -> None:
    """A score as its event says it, with what it is about in words."""
    same: dict[str, Any] = {"value": None, "label": None, "kind": "rule", "comment": None, "author": None}
    expected = [("run", None), ("step", 3), ("session", None)]
    for target, (scope, step) in zip((0, 3, SESSION), expected, strict=True):
        found = given_score(Score(name="s", value=float("inf"), target=target))
        assert found == GivenScore(name="s", scope=scope, step=step, **same)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("about", "target"),
    [
        ({"run": RUN}, 0),
        ({"run": EXECUTION}, 0),
        ({"step_id": f"{RUN[:28]}00000002"}, 2),
        ({"step_id": RUN}, 0),
        ({"session_id": "s1"}, SESSION),
    ],
    ids=str,
)
def test_what_a_new_score_is_about(store: Store, about: dict[str, Any], target: int) -> None:
    """A score is about a run, a step of it or its session, and becomes the event that says so."""
    store.append(batch(planner().events))
    new = NewScore(name="thumbs", value=1, label="up", comment="nice", author="ada", **about)
    body = Score(name="thumbs", value=1, label="up", kind="user", comment="nice", author="ada", target=target)
    assert place(store, new) == ScorePlace(ABOUT, body)


def test_the_newest_run(store: Store) -> None:
    """Of the runs of an execution or a session the newest is meant, and never one that holds feedback."""
    later = Tape("later", at=BEGAN + SECOND)
    later.begin(session="s1")
    named = msgspec.structs.replace(later.events[0].body, execution_id=EXECUTION)
    later.events[0] = msgspec.structs.replace(later.events[0], body=named)
    _judged(store)
    store.append(batch(later.events))
    for about in ({"run": EXECUTION}, {"session_id": "s1"}):
        assert place(store, NewScore(name="x", value=1, **about)).about.run == later.run  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "name"),
    [
        ({"value": 1}, "run"),
        ({"value": 1, "run": RUN, "session_id": "s1"}, "run"),
        ({"run": RUN}, "value"),
        ({"run": RUN, "value": float("nan")}, "value"),
    ],
    ids=str,
)
def test_what_is_no_score(store: Store, new: dict[str, Any], name: str) -> None:
    """A score is about exactly one thing and says something, in a number if need be."""
    store.append(batch(planner().events))
    with pytest.raises(InvalidParameter) as caught:
        place(store, NewScore(name="x", **new))
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("about", "what"),
    [
        ({"run": "nobody"}, "run"),
        ({"session_id": "nobody"}, "session"),
        ({"step_id": "nobody"}, "step"),
        ({"step_id": f"{RUN[:28]}00000063"}, "step"),
        ({"step_id": "01977420-dc00-7ed0-b577-e51000000002"}, "step"),
    ],
    ids=str,
)
def test_what_is_not_there(store: Store, about: dict[str, Any], what: str) -> None:
    """A score of something that is not there finds nothing to be about."""
    store.append(batch(planner().events))
    with pytest.raises(NotFound, match=f"no {what} has the id '{next(iter(about.values()))}'"):
        place(store, NewScore(name="x", value=1, **about))


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon'"):
            scores(store, ScoresAsked(**{name: "soon"}))  # type: ignore[arg-type]
