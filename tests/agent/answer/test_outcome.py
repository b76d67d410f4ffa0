from __future__ import annotations

from decimal import Decimal

import pytest

from tachograph.agent.answer.outcome import Outcome, Spending
from tachograph.errors import RunFailed
from tachograph.events.usage import MISSING, Cost, Usage


def test_an_outcome_that_is_no_answer_raises_itself() -> None:
    """`or_raise` gives a completed outcome back, and raises any other with all its facts."""
    done: Outcome[str] = Outcome(status="completed", stop_reason="final_answer", answer="42")
    assert done.or_raise() is done
    failed: Outcome[str] = Outcome(status="failed", stop_reason="deadline", detail="60 s are over")
    with pytest.raises(RunFailed, match="deadline") as raised:
        failed.or_raise()
    assert raised.value.outcome is failed


@pytest.mark.parametrize(
    ("status", "reason", "resumable"),
    [
        ("completed", "final_answer", False),
        ("failed", "max_iterations", True),
        ("failed", "internal_error", False),
        ("cancelled", "user_cancel", True),
        ("cancelled", "superseded", False),
        ("paused", "approval", True),
    ],
)
def test_what_was_stopped_may_go_on(status: str, reason: str, resumable: bool) -> None:
    """A limit, a pause and a person leave a run that can be resumed; an answer and a fault do not."""
    assert Outcome(status=status, stop_reason=reason).resumable is resumable  # type: ignore[arg-type]  # a status


def test_money_is_exact() -> None:
    """Nano-USD as decimal USD."""
    assert Spending(nano_usd=75_000_000).cost == Decimal("0.075")


def test_spending_adds_up_and_keeps_apart_what_nobody_said() -> None:
    """Figures add up; an attempt without usage changes no sum, and one without a price is counted."""
    priced, unpriced = Cost(state="priced", total=75), Cost(reason="unknown_model")
    spent = Spending().plus_call(MISSING, unpriced).plus_tool_call()
    assert (spent.usage, spent.unpriced) == (Usage(), 1)
    spent = spent.plus_call(Usage(input_uncached=3, output=2, basis="provider"), priced)
    spent = spent.plus_call(Usage(input_uncached=4, cache_read=1, output=2, basis="provider"), priced)
    assert spent == Spending(
        llm_calls=3, tool_calls=1, nano_usd=150, unpriced=1,
        usage=Usage(input_uncached=7, cache_read=1, output=4, basis="provider"),
    )  # fmt: skip


def test_what_a_team_spent_is_a_sum() -> None:
    """Its own, its delegates' and theirs, class by class; what nobody counted adds nothing."""
    leaf: Outcome[str] = Outcome(
        status="failed", stop_reason="deadline", spent=Spending(llm_calls=1, usage=MISSING, unpriced=1)
    )
    worker: Outcome[str] = Outcome(
        status="completed", stop_reason="final_answer", children=(leaf, leaf),
        spent=Spending(llm_calls=2, tool_calls=3, usage=Usage(10, output=5, basis="provider"), nano_usd=7),
    )  # fmt: skip
    lead: Outcome[str] = Outcome(
        status="completed", stop_reason="final_answer", children=(worker,),
        spent=Spending(llm_calls=1, tool_calls=1, usage=Usage(1, output=1, basis="provider"), nano_usd=1),
    )  # fmt: skip
    usage = Usage(11, output=6, basis="provider")
    assert lead.total == Spending(llm_calls=5, tool_calls=4, usage=usage, nano_usd=8, unpriced=2)
    assert (lead.spent.llm_calls, leaf.total) == (1, leaf.spent)
