from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tachograph.events.limit import LimitHit
from tachograph.queries.heading import Evidence, heading
from tachograph.store.memory import MemoryStore
from tachograph.web.run.head import MOST_EVIDENCE, Head, amount, head, used
from tests.queries.kept import batch
from tests.queries.test_heading import looping, person
from tests.strategies import BEGAN, Tape


def _head(tape: Tape) -> Head:
    store = MemoryStore()
    store.append(batch(tape.events))
    return head(heading(store, tape.run, BEGAN))


def _limited(metric: str, **facts: Any) -> Head:
    tape = Tape("limited")
    tape.begin()
    tape.add(LimitHit(metric=metric, mode="stop", **facts))
    tape.finish("failed", stop_reason=metric)
    return _head(tape)


def test_a_stop_is_told_in_a_sentence() -> None:
    """The reason, the calls it rests on, and how many would have been allowed."""
    stopped = _head(looping()).stopped
    assert stopped is not None
    assert stopped.text == "track was asked for 3 times"
    assert ([each.step for each in stopped.evidence], stopped.more) == ([1, 3, 6], 0)
    assert stopped.allowed == "allowed are 2"
    assert stopped.href.endswith("/steps/" + looping().run)


@pytest.mark.parametrize(
    ("metric", "used_amount", "threshold", "text", "allowed"),
    [
        ("max_iterations", 15, 15, "15 iterations used, 1 iteration more asked for", "the limit is 15 iterations"),
        ("cost_budget", 1.5, 2.0, "$1.50 used, $1.00 more asked for", "the limit is $2.00"),
        ("deadline", 90, 60, "1 m 30 s used, 1 s more asked for", "the limit is 1 m 00 s"),
        ("quota", 0.5, 1, "0.5 used, 1 more asked for", "the limit is 1"),
    ],
)
def test_amounts_stand_in_their_units(
    metric: str, used_amount: float, threshold: float, text: str, allowed: str
) -> None:
    """A limit that gives no reason is told by its figures."""
    stopped = _limited(metric, used=used_amount, requested=1, threshold=threshold).stopped
    assert stopped is not None
    assert (stopped.text, stopped.allowed) == (text, allowed)


def test_what_has_no_end_says_so() -> None:
    """An infinite amount is no number, and another scope than the run is named."""
    assert amount("token_budget", None) == "no end"
    tape = looping()
    store = MemoryStore()
    store.append(batch(tape.events))
    stop = heading(store, tape.run, BEGAN).stop
    assert stop is not None
    hit = replace(stop.hit, metric="session_limit", scope="session", used=7.0, requested=None)
    assert used(hit) == "7 used in this session"


def test_much_evidence_is_a_number() -> None:
    """Some steps of the evidence are named, the others counted."""
    tape = looping()
    store = MemoryStore()
    store.append(batch(tape.events))
    found = heading(store, tape.run, BEGAN)
    assert found.stop is not None
    many = tuple(Evidence(id=tape.run, step=step, kind="tool", name="track") for step in range(40))
    stopped = head(replace(found, stop=replace(found.stop, evidence=many))).stopped
    assert stopped is not None
    assert (len(stopped.evidence), stopped.more) == (MOST_EVIDENCE, 40 - MOST_EVIDENCE)


@pytest.mark.parametrize(
    ("state", "facts", "text", "why"),
    [
        ("requested", {"reason": "it asked"}, "A person was asked for and has not answered yet", "it asked"),
        ("applied", {"text": "Soon."}, "Handed to a person", ""),
        (
            "failed",
            {"problem": "nobody there.", "attempts": 3},
            "A person was asked for and could not be reached after 3 attempts",
            "nobody there",
        ),
    ],
)
def test_a_hand_off_is_told_as_what_it_is(state: str, facts: dict[str, Any], text: str, why: str) -> None:
    """Asked for, applied or failed: the sentence follows the state."""
    tape = Tape("given")
    tape.begin()
    tape.add(person(state, **facts))
    tape.finish(stop_reason="human_handoff")
    handed = _head(tape).handed
    assert handed is not None
    assert (handed.text, handed.why, handed.told) == (text, why, facts.get("text", ""))


def test_a_run_that_went_on_says_so() -> None:
    """Each time with who wanted it and how it stood; an open run is live."""
    tape = Tape("again")
    tape.begin()
    tape.finish("abandoned", stop_reason="process_died")
    tape.wait(2_000_000_000)
    tape.resume(by="ada")
    found = _head(tape)
    assert found.resumed == ("Went on by ada, after it was abandoned for 2 s",)
    assert found.is_live
    assert not _head(looping()).is_live
