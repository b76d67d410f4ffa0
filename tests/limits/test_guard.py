"""The guard that sets no limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.limits.guard import AdmitAll, Guard, Intent, Settled, Spent, Ticket


@given(st.integers(min_value=0), st.integers(min_value=0), st.text())
def test_admit_all_admits_all(calls: int, tools: int, name: str) -> None:
    """Whatever is asked and however much was spent: a ticket, and settling it does nothing."""
    guard: Guard = AdmitAll()
    ticket = guard.admit(Intent("run", "llm", name), Spent(calls, tools, 0), 0)
    assert guard.settle(Ticket(), Settled(), 0) == ()
    assert ticket == Ticket()
