from __future__ import annotations

from typing import Any, get_args

import pytest

from tachograph.events.limit import LimitHit, Mode
from tachograph.queries.answers.limits import LimitsAsked, limits
from tachograph.store.memory import MemoryStore
from tachograph.web.interventions import ACTIONS, Row, amount, row
from tests.queries.kept import batch
from tests.strategies import Tape


def _row(**facts: Any) -> tuple[Row, str]:
    store, tape = MemoryStore(), Tape()
    tape.begin()
    step = tape.tool()
    hit: dict[str, Any] = {"metric": "tool_loop", "mode": "block", "used": 2, "requested": 1, "threshold": 3}
    tape.add(LimitHit(**{**hit, **facts}), step)
    store.append(batch(tape.events))
    return row(limits(store, LimitsAsked()).limits[0]), tape.run


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("cost_budget", 0.0004, "$0.0004"), ("deadline", 90.0, "1 m 30 s"), ("token_budget", 12_345.0, "12.3k"),
        ("max_llm_calls", 12_345.0, "12,345"), ("quota", 0.123456, "0.1235"), ("tool_loop", None, "—"),
    ],
)  # fmt: skip
def test_amounts_have_the_unit_of_their_metric(metric: str, value: float | None, said: str) -> None:
    """Money, time, tokens and counts are said as everywhere else; what has no end is unknown."""
    assert amount(metric, value) == said


def test_a_row_says_what_was_done() -> None:
    """The action in words, whether it changed something, and where it stands."""
    made, run = _row()
    assert (made.action, made.is_change, made.step) == ("refused, and told the model", True, 1)
    assert (made.used, made.requested, made.threshold) == ("2", "1", "3")
    assert made.event == f"/runs/{run}/events?after=1"
    assert not _row(mode="warn")[0].is_change
    assert _row(requested=0)[0].requested == ""


def test_long_evidence_is_cut() -> None:
    """The first events are named, and how many more there are."""
    made, run = _row(evidence=tuple(range(10)))
    assert [each.seq for each in made.evidence] == [*range(8)]
    assert (made.evidence[0].href, made.more) == (f"/runs/{run}/events?after=-1", 2)
    assert (_row()[0].evidence, _row()[0].more) == ((), 0)


def test_every_mode_has_words() -> None:
    """Whatever a limit does, the list can say it."""
    assert set(ACTIONS) == set(get_args(Mode))
