"""Limits as values: finite unless said otherwise, each in its normal form."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tachograph.errors import SettingsError
from tachograph.limits.limit import DAY, FIGURES, Limit, Limits, Shipped


def test_every_limit_is_finite_until_somebody_removes_it() -> None:
    """The shipped policy in its normal form; what has a default of none is left out."""
    found = {(limit.scope, limit.metric, limit.of): (limit.threshold, limit.stated) for limit in Limits().each()}
    assert found == {
        ("run", "max_iterations", ""): (15, False),
        ("run", "max_llm_calls", ""): (60, False),
        ("run", "max_tool_calls", ""): (100, False),
        ("run", "max_depth", ""): (5, False),
        ("run", "max_handoffs", ""): (3, False),
        ("run", "deadline", ""): (1800, False),
        ("run", "token_budget", ""): (1_000_000, False),
        ("run", "cost_budget", ""): (5, False),
        ("call", "deadline", ""): (300, False),
        ("session", "session_limit", "runs"): (30, False),
    }


def test_a_figure_that_somebody_states_is_stated() -> None:
    """Another value, a removed one, a mode, a window: each shows in the one limit that it is about."""
    policy = Limits(usd=Decimal("0.1"), iterations=None, modes={"tokens": "warn"}, tenant_usd=100, tenant_window=None)
    each = list(policy.each())
    assert Limit(metric="cost_budget", threshold=0.1) in each
    assert Limit(metric="quota", of="usd", threshold=100, scope="tenant") in each
    assert Limit(metric="token_budget", threshold=1_000_000, mode="warn", stated=False) in each
    assert not any(limit.metric == "max_iterations" for limit in each)
    sessions = [limit for limit in each if limit.scope == "session"]
    assert sessions == [
        Limit(metric="session_limit", of="runs", threshold=30, scope="session", window=DAY, stated=False)
    ]


def test_the_names_of_figures_are_fields() -> None:
    """What `modes` may name, each a field whose default is shipped or none."""
    shipped = Limits()
    assert len(FIGURES) == len(set(FIGURES)) == 21
    assert all(getattr(shipped, name) is None or isinstance(getattr(shipped, name), Shipped) for name in FIGURES)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"iterations": -1}, "iterations=-1"),
        ({"usd": float("nan")}, "usd=nan"),
        ({"seconds": float("inf")}, "None to remove"),
        ({"modes": {"turns": "warn"}}, "modes='turns'"),
        ({"modes": {"usd": "explode"}}, r"modes\['usd'\]='explode'"),
        ({"early": (0.7, 1.5)}, "between 0 and 1"),
        ({"session_window": 0}, "session_window=0"),
        ({"tenant_window": -1.0}, "more than 0, or None for ever"),
        ({"tenant_window": float("inf")}, "tenant_window=inf"),
    ],
)
def test_what_could_never_hold_is_refused(stated: dict[str, object], said: str) -> None:
    """A figure that compares with nothing, a name or mode that does not exist: said at once, with the value."""
    with pytest.raises(SettingsError, match=said):
        Limits(**stated)  # type: ignore[arg-type]  # that is the point


def test_limits_stay_within_what_a_policy_states() -> None:
    """The smaller figure counts, with its mode and window; what the policy leaves as shipped bounds nothing."""
    policy = Limits(tool_calls=2, tenant_usd=20, tenant_window=3600, modes={"tool_calls": "handoff"})
    own = Limits(iterations=40, tool_calls=50, usd=None, modes={"tool_calls": "warn", "iterations": "wrap_up"})
    found = own.within(policy)
    assert (found.iterations, found.tool_calls, found.usd) == (40, 2, None)
    assert (found.tenant_usd, found.tenant_window) == (20, 3600)
    assert found.modes == {"tool_calls": "handoff", "iterations": "wrap_up"}
    assert Limits(tool_calls=1).within(policy).tool_calls == 1
    assert Limits(tool_calls=None).within(policy).tool_calls == 2


def test_a_last_turn_is_for_limits_that_leave_one() -> None:
    """Where tokens, money or time are used up, nothing is left to wrap up with."""
    assert Limits(modes={"llm_calls": "wrap_up"}).modes == {"llm_calls": "wrap_up"}
    for name in ("tokens", "usd", "seconds", "session_runs"):
        with pytest.raises(SettingsError, match="wrap_up"):
            Limits(modes={name: "wrap_up"})
