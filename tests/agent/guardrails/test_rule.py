from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.guardrails.rule import Rule, found
from tachograph.errors import SettingsError
from tachograph.events.chat import Media, Text

KEY = "sk-ant-api03-" + "Ab1" * 12
PRICE = Rule("price", (r"\bpreços?\b", r"r\$ *\d+"), unless=(r"\bpreço justo\b",))


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("Os PREÇOS mudam.", True),
        ("os pre\u0063\u0327os", True),
        ("R$\u00a080", True),
        ("Um preço justo!", False),
        ("Um preço justo, e o preço alto.", True),
        ("apreços", False),
    ],
)
def test_patterns_are_searched_in_normal_text(text: str, there: bool) -> None:
    """However it is written; what `unless` takes out is not seen by the patterns, and the rest is."""
    assert PRICE.finds(text) is there


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("Custa R$ 80, viu?", "Custa [redacted:price], viu?"),
        ("o PRE\u0063\u0327\u0327O é R$ 80 e R$ 9", "o [redacted:price] é [redacted:price] e [redacted:price]"),
        ((Text("preço"), Media("image", "image/png", url="u"), Text("b")), None),
        ({"a": ["preço", 3], "n": "x"}, {"a": ["[redacted:price]", 3], "n": "x"}),
        ({"preço": 1}, {"[redacted:price]": 1}),
    ],
)
def test_what_is_found_is_taken_out_as_it_was_written(content: Any, left: Any) -> None:
    """Accents and all, wherever it stands; media and values that hold nothing of it stay what they are."""
    left = (Text("[redacted:price]"), *content[1:]) if left is None else left
    assert PRICE.redacted(content) == left


def test_a_match_across_two_texts_goes_from_both() -> None:
    """Texts are read as one, one a line."""
    rule = Rule("both", (r"end\sbegin",))
    assert rule.redacted((Text("the end"), Text("begin it"))) == (Text("the [redacted:both]"), Text(" it"))


@given(some.text(some.sampled_from("preços R$8ã\u0327\u200b\n,.")))
def test_nothing_is_left_of_what_was_found(text: str) -> None:
    """The redacted text holds nothing that the rule finds; where there was nothing it is the same object."""
    rule = Rule("preco", (r"preco", r"r\$ *\d+"))
    left = rule.redacted(text)
    assert (left is text) is (not rule.finds(text))
    assert not rule.finds(left)


def test_detectors_know_credentials() -> None:
    """Those that mask what is recorded: in the text as it is, capitals and all."""
    rule = Rule("secret", detectors=("secrets",))
    assert rule.finds(f"use {KEY} please")
    assert rule.redacted({"header": f"x {KEY}"}) == {"header": "x [redacted:anthropic_key]"}
    assert not rule.finds("use a key please")


def test_a_rule_may_look_at_one_argument() -> None:
    """What the others hold is nothing to it, and stays."""
    rule = Rule("rm", (r"\brm\b",), argument="command")
    assert rule.finds({"command": "rm x", "why": "tidy"})
    assert not rule.finds({"command": "ls", "why": "rm is bad"})
    assert not rule.finds({"why": "rm is bad"})
    assert rule.redacted({"command": "rm x", "why": "rm"}) == {"command": "[redacted:rm] x", "why": "rm"}


def test_the_first_rule_that_finds_something_counts() -> None:
    """In the order in which they are given."""
    rules = (Rule("a", ("x",)), Rule("b", ("y",)), Rule("c", ("y",)))
    assert found(rules, "y").name == "b"
    assert found(rules, "z") is None


@pytest.mark.parametrize(
    "fields", [{"name": "Odd"}, {"patterns": ("(",)}, {"unless": ("[",)}, {"detectors": ("nothing",)}]
)
def test_a_rule_that_cannot_be_searched_for_is_refused(fields: dict[str, Any]) -> None:
    """At once, not when the first text comes."""
    with pytest.raises(SettingsError):
        Rule(**{"name": "odd", **fields})
