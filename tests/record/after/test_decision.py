from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import ApprovalRefused, NotFound
from tachograph.events.note import Note
from tachograph.fold.approvals import approvals
from tachograph.fold.state import fold
from tachograph.record.after.decision import decide
from tachograph.settings import Settings
from tachograph.store.open import open_store
from tachograph.store.ports import Appended, Batch, Store
from tachograph.store.query import Query
from tests.paused import NOW, SECOND, keep, paused, request, rule
from tests.strategies import BEGAN

SECRET = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"


@pytest.fixture(params=["memory:", "sqlite:{}/t.db"], ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each embedded kind."""
    opened = open_store(request.param.format(tmp_path))
    yield opened
    opened.close()


def test_a_decision_stands_in_the_log_of_the_run(store: Store) -> None:
    """One note more, by whom and when; the run waits on, and for nothing else."""
    first, second = request(0), request(1, arguments={"text": "x" * 2_000})
    tape = paused("p", first, second)
    admitter = keep(store, tape)
    said = rule(first, "deny", reason="too dear", via="key")
    assert decide(store, admitter, tape.run, said) == msgspec.structs.replace(first, decided=said)
    events = list(store.read(tape.run))
    assert (len(events), events[-1].at, events[-1].body.name) == (len(tape.events) + 1, NOW, "approval_decided")
    assert approvals(events, store.fetch) == {"1.0": msgspec.structs.replace(first, decided=said), "1.1": second}
    edited = rule(second, "edit", by="bo", arguments={"text": "y" * 2_000})
    decide(store, admitter, tape.run, edited)
    assert approvals(store.read(tape.run), store.fetch)["1.1"].decided == edited
    assert (fold(store.read(tape.run)).status, list(store.check())) == ("paused", [])
    [row] = store.find(Query("runs", (), ("status", "next_seq"))).rows
    assert row == {"status": "paused", "next_seq": len(tape.events) + 2}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"call_id": "x"}, "mismatch"),
        ({"tool": "x"}, "mismatch"),
        ({"arguments_hash": "x"}, "mismatch"),
        ({"at": NOW + 3600 * SECOND}, "expired"),
        ({"decision": "edit", "arguments": {"token": SECRET}}, "not_kept"),
        ({"decision": "edit", "arguments": {"pin": "1234"}}, "not_kept"),
        ({}, "not_kept"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_refused(store: Store, changes: dict[str, Any], problem: str) -> None:
    """Other arguments than were asked about, too late, or what would be recorded changed: nothing is appended."""
    asked = request(0, expires_at=NOW + 3600 * SECOND, hidden=("pin",))
    tape = paused("p", asked)
    admitter = keep(store, tape)
    with pytest.raises(ApprovalRefused) as refused:
        decide(store, admitter, tape.run, msgspec.structs.replace(rule(asked), **changes))
    assert (refused.value.problem, refused.value.approval) == (problem, f"{tape.run}.1.0")
    assert store.next_seq(tape.run) == len(tape.events)
    decide(store, admitter, tape.run, rule(asked, "deny"))


def test_a_decision_needs_a_place_to_be_kept(store: Store) -> None:
    """Where no content is recorded nobody can decide, and is told so."""
    tape = paused("p", request(0))
    keep(store, tape)
    settings = replace(Settings(), capture="none")
    admitter = admitter_for(settings, store, scrubber_for(settings))
    with pytest.raises(ApprovalRefused, match="not at all"):
        decide(store, admitter, tape.run, rule(request(0)))


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_run_that_does_not_wait_is_not_decided_about(store: Store, status: str) -> None:
    """It has ended another way since."""
    tape = paused("p", request(0), status=status)
    with pytest.raises(ApprovalRefused, match=f"the run is {status}"):
        decide(store, keep(store, tape), tape.run, rule(request(0)))


def test_what_is_not_there_is_not_found(store: Store) -> None:
    """No such run, no such call."""
    tape = paused("p", request(0))
    admitter = keep(store, tape)
    for run, asked in (("nobody", request(0)), (tape.run, request(7))):
        with pytest.raises(NotFound):
            decide(store, admitter, run, rule(asked))


def test_of_two_people_one_is_first(store: Store) -> None:
    """Whoever comes second is told who decided, and what."""
    tape = paused("p", request(0))
    admitter = keep(store, tape)
    decide(store, admitter, tape.run, rule(request(0), "deny", by="ada"))
    with pytest.raises(ApprovalRefused, match="ada has decided already: deny") as refused:
        decide(store, admitter, tape.run, rule(request(0), by="bo"))
    assert (refused.value.problem, refused.value.by) == ("decided", "ada")


def test_of_many_at_once_exactly_one_is_first(tmp_path: Path) -> None:
    """Ten people, each with a connection of their own, at the same moment: one decision, nine who know whose."""
    url = f"sqlite:{tmp_path / 'race.db'}"
    opened = [open_store(url) for _ in range(10)]
    tape = paused("p", request(0), request(1))
    keep(opened[0], tape)
    gate, told = threading.Barrier(len(opened)), list[tuple[str, str]]()

    def decides(number: int, store: Store) -> None:
        settings = Settings()
        admitter = admitter_for(settings, store, scrubber_for(settings))
        gate.wait(20)
        try:
            decide(store, admitter, tape.run, rule(request(0), by=f"p{number}"))
            told.append(("won", f"p{number}"))
        except ApprovalRefused as refused:
            told.append((refused.problem, refused.by))

    threads = [threading.Thread(target=decides, args=pair) for pair in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [winner] = [who for what, who in told if what == "won"]
    assert sorted(told) == [("decided", winner)] * 9 + [("won", winner)]
    notes = [event for event in opened[0].read(tape.run) if isinstance(event.body, Note)]
    assert [event.body.name for event in notes] == ["approval_requested"] * 2 + ["approval_decided"]
    for store in opened:
        store.close()


def test_what_is_appended_meanwhile_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another call's decision comes between reading and writing: this one is tried again behind it."""
    tape = paused("p", request(0), request(1))
    admitter = keep(store, tape)
    append, between = store.append, [rule(request(1), by="bo")]

    def slow(batch: Batch) -> Appended:
        if between:
            decide(store, admitter, tape.run, between.pop())
        return append(batch)

    monkeypatch.setattr(store, "append", slow)
    decide(store, admitter, tape.run, rule(request(0), at=BEGAN))
    decisions = {slot: one.decided.by for slot, one in approvals(store.read(tape.run)).items() if one.decided}
    assert decisions == {"1.0": "ada", "1.1": "bo"}
