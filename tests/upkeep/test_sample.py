from __future__ import annotations

from typing import Any

import pytest

from tachograph.upkeep.alert import Alert
from tachograph.upkeep.sample import Sample, scopes

CALL = Sample(
    kind="calls", at=1, tenant="acme", tags=("project:shop", "project:blog", "team-a", "project:shop"), agent="editor",
    model="gpt-4o",
)  # fmt: skip


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("", ["everything"]),
        ("tag:team-a", ["tag:team-a"]),
        ("tag:team-b", []),
        ("tag:project:*", ["tag:project:shop", "tag:project:blog"]),
        ("tag:*", ["tag:project:shop", "tag:project:blog", "tag:team-a"]),
        ("tenant", ["tenant:acme"]),
        ("tenant:acme", ["tenant:acme"]),
        ("tenant:other", []),
        ("agent", ["agent:editor"]),
        ("agent:edit*", ["agent:editor"]),
        ("model:gpt-*", ["model:gpt-4o"]),
    ],
)
def test_a_sample_counts_where_it_is_meant(by: str, found: list[str]) -> None:
    """For everything, for one value, for each value with a beginning: once for each tag it has."""
    assert list(scopes(Alert(name="a", metric="cost", threshold=1, by=by), CALL)) == found


@pytest.mark.parametrize(
    ("facts", "counts"),
    [
        ({"metric": "cost"}, True),
        ({"metric": "error_rate"}, True),
        ({"metric": "error_rate", "of": "runs"}, False),
        ({"metric": "interventions"}, False),
        ({"metric": "cost", "tenant": "acme"}, True),
        ({"metric": "cost", "tenant": "other"}, False),
        ({"metric": "latency_p50", "of": "tools"}, False),
    ],
)
def test_a_sample_counts_for_what_is_asked(facts: dict[str, Any], counts: bool) -> None:
    """Calls count for alerts on calls, and only for the tenant that an alert is about."""
    assert bool(list(scopes(Alert(name="a", threshold=1, **facts), CALL))) is counts


def test_what_has_no_agent_is_nobodys() -> None:
    """A run without an agent has no scope among the agents."""
    bare = Sample(kind="runs", at=1)
    assert list(scopes(Alert(name="a", metric="error_rate", of="runs", threshold=1, by="agent"), bare)) == []
