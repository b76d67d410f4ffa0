from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.guardrails.guardrail import Append, Block, Guardrail, Look, Redact, Refuse, Replace
from tachograph.agent.guardrails.rule import Rule
from tachograph.errors import SettingsError

RULES = (Rule("x", ("x",)),)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("on", {"on": "everything"}),
        ("mode", {"mode": "shadow"}),
        ("of", {"on": "tool", "of": "name"}),
        ("on_error", {"on_error": "stop"}),
        ("seconds", {"seconds": 0}),
        ("name", {"name": ""}),
        ("rules", {"rules": ("x",)}),
        ("tools", {"tools": "sh"}),
        ("tools", {"on": "tool", "tools": "("}),
        ("field", {"on": "input", "field": "a"}),
        ("does", {"does": "block"}),
        ("does", {"on": "input", "does": Refuse()}),
        ("does", {"on": "tool", "does": Refuse()}),
        ("does", {"on": "tool", "does": Append("x")}),
        ("does", {"on": "tool", "of": "arguments", "does": Replace("x")}),
        ("does", {"does": Replace(" ")}),
        ("does", {"does": Redact(), "rules": ()}),
        ("does", {"does": Redact(), "check": len}),
    ],
)
def test_what_means_nothing_is_refused_at_once(field: str, fields: dict[str, Any]) -> None:
    """The error names the guardrail's field."""
    with pytest.raises(SettingsError, match=field):
        Guardrail(**{"name": "one", "on": "output", "rules": RULES, **fields})


@pytest.mark.parametrize(
    ("fields", "look", "concerned"),
    [
        ({}, Look("output", "a"), True),
        ({}, Look("input", "a"), False),
        ({"agents": ("ana",)}, Look("output", "a", agent="ana"), True),
        ({"agents": ("ana",)}, Look("output", "a", agent="bia"), False),
        ({"agents": ("ana",)}, Look("output", "a"), True),
        ({"unless_called": ("faq_lookup",)}, Look("output", "a", called=("captain_faq_lookup",)), False),
        ({"unless_called": ("faq_lookup",)}, Look("output", "a", called=("faq_lookup_all",)), True),
        ({"on": "tool", "tools": "^sh"}, Look("tool", {}, stage="arguments", tool="shell"), True),
        ({"on": "tool", "tools": "^sh"}, Look("tool", {}, stage="arguments", tool="fish"), False),
        ({"on": "tool", "of": "result"}, Look("tool", {}, stage="arguments", tool="shell"), False),
        ({"on": "tool", "of": "result"}, Look("tool", "x", stage="result", tool="shell"), True),
    ],
)
def test_gates_say_whether_it_looks(fields: dict[str, Any], look: Look, concerned: bool) -> None:
    """The place, the agent, the tools of this turn, the tool and its part."""
    assert Guardrail(**{"name": "one", "on": "output", "rules": RULES, **fields}).concerns(look) is concerned


@pytest.mark.parametrize(
    ("on", "on_error", "blocks"),
    [("input", None, True), ("tool", None, True), ("output", None, False), ("output", "block", True),
     ("input", "allow", False)],
)  # fmt: skip
def test_what_could_not_be_looked_at_does_not_begin_anything(on: Any, on_error: Any, blocks: bool) -> None:
    """Unless it is said otherwise; an answer, which the work was done for, passes."""
    assert Guardrail(name="one", on=on, does=Block(), on_error=on_error).blocks_errors is blocks


def test_a_look_reads_all_texts() -> None:
    """One a line."""
    assert Look("tool", {"a": "b", "c": 1}).text == "a\nb\nc\n1"
