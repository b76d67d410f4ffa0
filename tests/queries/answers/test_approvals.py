from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import InvalidParameter, NotFound
from tachograph.queries.answers.approvals import (
    ApprovalsAsked,
    NewDecision,
    placed,
    ruled,
    split,
    waiting_call,
    waiting_runs,
)
from tachograph.record.after.decision import decide
from tachograph.store.ports import Store
from tachograph.store.scoped import Scoped
from tests.paused import NOW, SECOND, keep, paused, request, rule
from tests.queries.logs.desk import as_json
from tests.strategies import BEGAN

CALL: dict[str, Any] = {
    "call_id": "call_0", "tool": "pay", "arguments": {"amount": 0}, "arguments_hash": "0" * 32, "hidden": [],
    "agent": "desk", "iteration": 1, "requested_at": "2025-06-15T15:06:40Z", "expires_at": None, "status": "waiting",
    "decided_by": None, "decided_at": None, "reason": "", "edited_arguments": None,
}  # fmt: skip


def test_paused_runs_are_listed_with_what_they_wait_for(store: Store) -> None:
    """The newest first, whole; runs that ended are not there."""
    late = request(0, expires_at=NOW)
    first = paused("first", request(0), session="s", user="u")
    second = paused("second", late, request(1), at=BEGAN + SECOND)
    admitter = keep(store, first, second, paused("over", request(0), at=BEGAN + 2 * SECOND, status="failed"))
    decide(store, admitter, second.run, rule(request(1), "edit", at=NOW - SECOND, arguments={"amount": 5}))
    found = as_json(waiting_runs(store, ApprovalsAsked(), NOW))
    assert [run["run_id"] for run in found["runs"]] == [second.run, first.run]
    assert found["runs"][1] == {
        "run_id": first.run, "execution_id": found["runs"][1]["execution_id"], "name": "desk", "tenant": "default",
        "session_id": "s", "user": "u", "started_at": "2025-06-15T15:06:40Z",
        "approvals": [{"id": f"{first.run}.1.0", **CALL}],
    }  # fmt: skip
    calls = found["runs"][0]["approvals"]
    assert [(call["id"], call["status"], call["expires_at"]) for call in calls] == [
        (f"{second.run}.1.0", "expired", "2025-06-15T15:07:40Z"), (f"{second.run}.1.1", "edit", None),
    ]  # fmt: skip
    told = (calls[1]["decided_by"], calls[1]["decided_at"], calls[1]["edited_arguments"])
    assert told == ("ada", "2025-06-15T15:07:39Z", {"amount": 5})
    assert (found["total_count"], found["next_cursor"]) == (2, None)


def test_a_page_counts_runs(store: Store) -> None:
    """By cursor, by session, by user, by run."""
    tapes = [
        paused(f"r{number}", request(0), request(1), at=BEGAN + number * SECOND, session=f"s{number}", user="u")
        for number in range(3)
    ]
    keep(store, *tapes)
    first = waiting_runs(store, ApprovalsAsked(limit=2), NOW)
    assert [run.run_id for run in first.runs] == [tapes[2].run, tapes[1].run]
    rest = waiting_runs(store, ApprovalsAsked(limit=2, cursor=first.next_cursor), NOW)
    assert ([run.run_id for run in rest.runs], rest.total_count, rest.next_cursor) == ([tapes[0].run], 3, None)
    conditions: list[tuple[dict[str, Any], int]] = [
        ({"session_id": "s1"}, 1), ({"user": "u"}, 3), ({"run_id": tapes[0].run}, 1), ({"user": "x"}, 0),
    ]  # fmt: skip
    for asked, wanted in conditions:
        assert len(waiting_runs(store, ApprovalsAsked(**asked), NOW).runs) == wanted


def test_a_tenant_sees_its_own(store: Store) -> None:
    """Neither in the list nor by name is there anything of another's."""
    tape = paused("p", request(0), tenant="blue")
    keep(store, tape)
    name = f"{tape.run}.1.0"
    assert placed(Scoped(store, "blue"), name) == (tape.run, request(0))
    assert waiting_runs(Scoped(store, "red"), ApprovalsAsked(), NOW).runs == ()
    with pytest.raises(NotFound):
        placed(Scoped(store, "red"), name)


@pytest.mark.parametrize("name", ["", "x", "nobody.1.0", "{run}", "{run}.1", "{run}.2.0", "{run}.1.0.0", "{run}.one.0"])
def test_what_is_no_id_is_not_found(store: Store, name: str) -> None:
    """No run of that name, no call of that place."""
    tape = paused("p", request(0))
    keep(store, tape)
    with pytest.raises(NotFound):
        placed(store, name.replace("{run}", tape.run))


def test_an_id_is_the_run_and_the_place() -> None:
    """Whatever dots the run's own name has."""
    assert split("a.b.12.3") == ("a.b", "12.3")
    assert waiting_call("r", request(4), NOW).id == "r.1.4"
    assert split("1.0") is None


def test_an_effect_that_was_cut_off_has_an_id_too() -> None:
    """Of the run that waits, and of the run and step where it began."""
    assert split("0a-1.effect.0b-2.12") == ("0a-1", "effect.0b-2.12")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"decision": "edit"}, "arguments"),
        ({"decision": "allow", "arguments": {}}, "arguments"),
        ({"decision": "allow", "reason": "ok"}, "reason"),
    ],
)
def test_a_decision_says_what_belongs_to_it(facts: dict[str, Any], name: str) -> None:
    """Arguments go with an edit, a reason with a no."""
    with pytest.raises(InvalidParameter) as refused:
        ruled(request(0), NewDecision(arguments_hash="x", **facts), by="key", via="key", at=NOW)
    assert refused.value.name == name
    said = ruled(request(0), NewDecision(arguments_hash="x", decision="deny", by="ada"), by="key", via="key", at=NOW)
    assert (said.by, said.via, said.arguments_hash, said.call_id) == ("ada", "key", "x", "call_0")
