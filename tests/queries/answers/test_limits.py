from __future__ import annotations

from math import inf
from typing import Any, get_args

import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.limit import LimitHit, Mode
from tachograph.queries.answers.limits import CHANGING, Limit, LimitsAsked, limit, limits
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import SECOND, as_json
from tests.strategies import BEGAN, Tape

PAGE = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}


def test_a_page_of_limits(store: Store) -> None:
    """A limit says what was reached, where, what was done about it and why; an empty store has none."""
    assert as_json(limits(store, LimitsAsked())) == {"limits": [], "total_count": 0, **PAGE}
    tape = Tape("loop")
    tape.begin("desk", session="s", agent_type="clerk")
    tool = tape.tool()
    tape.add(
        LimitHit(
            metric="same_call", mode="block", used=3, requested=1, threshold=3, reason="three times the same",
            refused_kind="tool", refused_name="search", evidence=(1, 2),
        ),
        tool,
    )  # fmt: skip
    store.append(batch(tape.events))
    execution = tape.events[0].body.execution_id
    found = {
        "metric": "same_call", "scope": "run", "mode": "block", "used": 3.0, "requested": 1.0, "threshold": 3.0,
        "reason": "three times the same", "refused_kind": "tool", "refused_name": "search", "evidence": [1, 2],
        "time": "2025-06-15T15:06:40.002000Z", "run_id": tape.run, "execution_id": execution, "run_name": "desk",
        "agent_type": "clerk", "session_id": "s", "seq": 2, "step_id": f"{tape.run[:28]}{tool:08x}",
    }  # fmt: skip
    assert as_json(limits(store, LimitsAsked())) == {"limits": [found], "total_count": 1, **PAGE}


def test_what_has_no_end() -> None:
    """An amount without end is null, which JSON has a word for."""
    assert limit(LimitHit(metric="time", mode="warn", used=1, requested=inf, threshold=inf)) == Limit(
        metric="time", scope="run", mode="warn", used=1, requested=None, threshold=None, reason="", refused_kind=None,
        refused_name=None, evidence=(),
    )  # fmt: skip


def test_modes_that_change_something() -> None:
    """Every mode is an intervention but the two that only say something."""
    assert set(CHANGING) == set(get_args(Mode)) - {"observe", "warn"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["cost", "calls", "time"]),
        ({"metric": "calls"}, ["calls"]),
        ({"mode": "stop"}, ["calls"]),
        ({"scope": "session"}, ["cost"]),
        ({"interventions": True}, ["cost", "calls"]),
        ({"interventions": True, "mode": "warn"}, []),
        ({"session_id": "s1"}, ["cost"]),
        ({"agent_type": "agent-calls"}, ["calls"]),
        ({"agent_type": "agent-alert"}, []),
        ({"execution_id": "nobody"}, []),
        ({"start_date": "2025-06-15T15:07:40Z"}, ["cost", "calls"]),
        ({"end_date": "2025-06-15T15:07:00Z"}, ["time"]),
        ({"limit": 1, "offset": 1}, ["calls"]),
    ],
    ids=str,
)
def test_filters(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the limits that meet it, newest first; alerts are in the audit and not among them."""
    for number, (metric, mode, scope) in enumerate(
        (("time", "warn", "run"), ("calls", "stop", "run"), ("cost", "handoff", "session"), ("alert", "observe", "run"))
    ):
        tape = Tape(metric, at=BEGAN + number * 60 * SECOND)
        tape.begin(session=f"s{number - 1}", agent_type=f"agent-{metric}", source="audit" if metric == "alert" else "")
        tape.add(LimitHit(metric=metric, mode=mode, scope=scope))  # type: ignore[arg-type]
        store.append(batch(tape.events))
    found = limits(store, LimitsAsked(**asked))
    assert [each.metric for each in found.limits] == expected
    assert found.total_count == (3 if "limit" in asked else len(expected))


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon'"):
            limits(store, LimitsAsked(**{name: "soon"}))  # type: ignore[arg-type]
