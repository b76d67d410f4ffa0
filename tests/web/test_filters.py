from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from tachograph.web import filters

WHEN = datetime(2026, 3, 1, 4, 5, 6, 789, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("ms", (340,), "340 ms"), ("ms", (0,), "0 s"), ("ms", (125_000,), "2 m 05 s"), ("ms", (None,), "—"),
        ("usd", (0.42,), "$0.42"), ("usd", (None,), "—"), ("usd", (0.0, 2), "—"), ("usd", (0.000_000_3,), "$0.0000003"),
        ("usd", (0.42, 1), "≥ $0.42"),
        ("tokens", (12_345,), "12.3k"), ("tokens", (0,), "0"), ("tokens", (0, 1), "—"), ("tokens", (500, 1), "≥ 500"),
        ("percent", (97.5,), "97.5 %"), ("percent", (None,), "—"),
        ("short", ("019a0000-0000-7000-8000-00000000abcd",), "0000abcd"),
        ("count", (12_345,), "12,345"), ("size", (1_536,), "1.5 KiB"), ("moment", (None,), "—"),
    ],
)  # fmt: skip
def test_figures(name: str, given: tuple[Any, ...], shown: str) -> None:
    """In the wording of the terminal: never a false zero, unknown as unknown, lower bounds as such."""
    assert filters.FILTERS[name](*given) == shown


def test_a_moment_is_utc_and_can_be_moved_by_a_script() -> None:
    """It stands in UTC, machine-readable beside it, exact on hover."""
    assert filters.moment(WHEN) == Markup(
        '<time datetime="2026-03-01T04:05:06.000789+00:00" title="2026-03-01 04:05:06.000789 UTC">'
        '2026-03-01 04:05:06<span class="utc"> UTC</span></time>'
    )


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\x7f", "\x85", "\u200e", "\u202e", "\u2066", "\ufeff"])
def test_what_cannot_be_seen_is_made_visible(hidden: str) -> None:
    """Control characters and those that turn the direction of writing stand as signs: no text looks like another."""
    shown = filters.visible(f"pay{hidden}load")
    assert hidden not in shown
    assert len(shown) == len("pay.load")


def test_lines_stay_lines() -> None:
    """Tabs and ends of lines are what they are, and so is every writing."""
    text = "one\ttwo\r\nthree — 四 عربي 🏁"
    assert filters.visible(text) == text


@given(st.text())
def test_no_control_character_gets_through(text: str) -> None:
    """Whatever was recorded: of control characters only tabs and ends of lines are left."""
    left = {letter for letter in filters.visible(text) if unicodedata.category(letter) == "Cc"}
    assert left <= {"\t", "\n", "\r"}
