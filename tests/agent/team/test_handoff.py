from __future__ import annotations

import pytest

from tachograph.agent.team.handoff import Handoff, edges_of, tool_name
from tachograph.errors import SettingsError
from tests.agent.crew.crews import over


def test_tools_are_named_after_agents() -> None:
    """Lower case, without accents, everything else an underscore; a name of one's own goes before."""
    assert [tool_name(name) for name in ("billing", "Ana Bot", "Reservas é já!")] == [
        "handoff_to_billing", "handoff_to_ana_bot", "handoff_to_reservas_e_ja",
    ]  # fmt: skip
    edges = edges_of(over("desk", [], Handoff(over("billing", []), name="pay", description="Pays.")))
    assert [(name, edge.tool.name, edge.tool.description) for name, edge in edges.items()] == [("pay", "pay", "Pays.")]


@pytest.mark.parametrize(("build", "message"), [
    (lambda: over("desk", [], "billing"), "handoffs"),
    (lambda: Handoff("billing"), "an agent, or a function that gives one"),  # type: ignore[arg-type]
    (lambda: Handoff(over("b", []), input_filter=3), "input_filter"),  # type: ignore[arg-type]
    (lambda: edges_of(over("desk", [], over("b", []), over("b", []))), "one hand-off of that name"),
    (lambda: edges_of(over("desk", [], over("desk", []))), "other than the one that hands over"),
    (lambda: edges_of(over("desk", [], over("日本", []))), "a name for the tool"),
    (lambda: edges_of(over("desk", [], Handoff(lambda: 3))), "a function that gives an agent"),  # type: ignore[arg-type,return-value]
])  # fmt: skip
def test_what_cannot_be_told_apart_is_said_at_once(build: object, message: str) -> None:
    """Names, functions and edges that lead nowhere."""
    with pytest.raises(SettingsError, match=message):
        build()  # type: ignore[operator]
