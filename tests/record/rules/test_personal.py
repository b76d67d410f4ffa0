from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.rules.personal import RULES, is_card

HIDDEN = re.compile("«(.*?)»")

FOUND = [
    ("email", "write to «jane.doe+x@mail.example.co.uk», please"),
    ("email", "<«a_b%c@example.org»>;«x@y.io»."),
    ("email", "mailto:«jane@example.com»?subject=hi"),
    ("phone", "call «+49 170 1234567» or «+1 (415) 555-0100» now"),
    ("phone", "«0049 30 123456»-x".replace("-x", "")),
    ("phone", "(«415) 555-0100»".replace("(«", "«(")),
    ("phone", "«415-555-0100», «415.555.0100» and «0170 1234567», «06 12 34 56 78»"),
    ("card", "«4111 1111 1111 1111», «4111-1111-1111-1111», «4111111111111111»"),
    ("card", "amex «3782 822463 10005» and «378282246310005»"),
]

STAYS = [
    ("email", "git@github.com:org/repo react@18.2.0 @decorator.name user@host a@b @example.com x @ y.com"),
    ("phone", "2026-01-02 10:30:00, 01.02.2026 10, 1.234.567.890, 12345678901, 06385-3823, v1.2.3-4567890"),
    ("phone", "550e8400-e29b-41d4-a716-446655440000 and 192.168.100.200 and order 123-456"),
    ("card", "4111 1111 1111 1112, 1763712000000000000, 0000 0000 0000 0000, 0.4111111111111111, x4111111111111111"),
    ("card", "550e8400-e29b-41d4-a716-446655440000"),
]


@pytest.mark.parametrize(("name", "marked"), FOUND)
def test_what_identifies_a_person_is_found(name: str, marked: str) -> None:
    """Addresses, numbers and cards are found whole, in the usual spellings, and pass their screen."""
    text = HIDDEN.sub(r"\1", marked)
    assert RULES[name].screen(text.encode())
    assert RULES[name].screen(json.dumps(text).encode())
    for span in sorted(RULES[name].find(text), reverse=True):
        assert span.name == name
        text = f"{text[: span.start]}«{text[span.start : span.end]}»{text[span.end :]}"
    assert text == marked


@pytest.mark.parametrize(("name", "text"), STAYS)
def test_other_numbers_and_names_stay(name: str, text: str) -> None:
    """Dates, versions, addresses of machines, UUIDs, timestamps and wrong check digits are left alone."""
    assert list(RULES[name].find(text)) == []


@given(st.integers(10**12, 10**19 - 1))
def test_card_numbers_have_one_right_check_digit(number: int) -> None:
    """Of the ten numbers that differ in the last digit at most one is a card."""
    text = str(number)[:-1]
    assert sum(is_card(text + digit) for digit in "0123456789") <= 1


@given(st.sampled_from(sorted(RULES)), st.text("0123456789 -.()/+@ab.c\n", max_size=60))
def test_what_is_found_passes_the_screen(name: str, text: str) -> None:
    """A screen never says no to a text in which its rule finds something, plain or as JSON."""
    if list(RULES[name].find(text)):
        assert RULES[name].screen(text.encode())
        assert RULES[name].screen(json.dumps(text).encode())
