from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tachograph.agent.guardrails.text import folded_pattern, normal, places

LETTERS = some.text(some.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("NÃO SEI", "nao sei"),
        ("na\u0303o", "nao"),
        ("can\u2019t", "can't"),
        ("can\u00b4t can`t", "can't can't"),
        ("\u201csu\u00edte\u201d \u2013 R$\u00a080", '"suite" - r$ 80'),
        ("pre\u200bço", "preco"),
        ("\uff30\uff32ICE", "price"),
        ("Straße", "strasse"),
    ],
)
def test_what_looks_alike_is_alike(written: str, searched: str) -> None:
    """Capitals, accents, apostrophes, dashes, wide letters and what cannot be seen make no difference."""
    assert normal(written) == searched


@given(LETTERS)
def test_normal_text_is_normal(text: str) -> None:
    """Doing it twice changes nothing."""
    assert normal(normal(text)) == normal(text)


@given(LETTERS, LETTERS)
def test_each_character_is_folded_by_itself(one: str, two: str) -> None:
    """What stands beside a character does not matter, so pieces can be normalised one by one."""
    assert normal(one + two) == normal(one) + normal(two)


@given(LETTERS)
def test_every_normal_character_knows_where_it_is_from(text: str) -> None:
    """The places never go back, end where the text ends, and lead to a character that folds to this one."""
    at, searched = places(text), normal(text)
    assert len(at) == len(searched) + 1
    assert at[-1] == len(text)
    assert all(one <= two for one, two in pairwise(at))
    assert all(letter in normal(text[place]) for letter, place in zip(searched, at, strict=False))


def test_a_pattern_with_accents_can_match() -> None:
    """Its letters are folded like those of the text; what is syntax stays."""
    assert folded_pattern(r"\bpreço[sõ]?\b") == r"\bpreco[so]?\b"
    assert re.search(folded_pattern("não"), normal("Não")) is not None
