from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.cli import human
from tachograph.events.content import Content, inline
from tachograph.events.run import Failure


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "—"),
        (0, "0 s"),
        (1, "1 ns"),
        (1_500, "1.5 µs"),
        (12_345_678, "12.3 ms"),
        (999_999_999, "1000 ms"),
        (1_234_000_000, "1.23 s"),
        (59_900_000_000, "59.9 s"),
        (59_990_000_000, "1 m 00 s"),
        (125_000_000_000, "2 m 05 s"),
        (11_220_000_000_000, "3 h 07 m"),
        (190_000_000_000_000, "2 d 04 h"),
    ],
)
def test_durations_have_the_unit_that_fits(ns: int | None, text: str) -> None:
    """A duration is told with two or three digits that matter, whatever its size."""
    assert human.duration(ns) == text


def test_a_moment_is_told_on_the_clock_of_the_reader() -> None:
    """Nanoseconds since 1970 become a date and a time; what cannot be one is unknown."""
    assert human.moment(1_760_000_000_000_000_000, UTC) == "2025-10-09 08:53"
    assert human.moment(1_760_000_000_000_000_000, UTC, seconds=True) == "2025-10-09 08:53:20"
    assert (human.moment(None), human.moment(10**30, UTC)) == ("—", "—")
    assert human.iso(1_760_000_000_123_456_789) == "2025-10-09T08:53:20.123456Z"
    assert human.iso(None) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "—"), (0, "0"), (9_999, "9999"), (12_345, "12.3k"), (1_250_000, "1.25M"), (3_000_000_000, "3G")],
)
def test_large_numbers_become_short(number: int | None, text: str) -> None:
    """Tokens are told in three digits; nobody knows is not zero."""
    assert human.short(number) == text


def test_a_cost_is_never_rounded_to_nothing() -> None:
    """Money that somebody spent never reads as zero; unknown money is unknown; a part unknown is a lower bound."""
    assert human.money(1) == "$0.000000001"
    assert human.money(0) == "$0.00"
    assert human.money(None) == "—"
    assert human.money(0, unpriced=2) == "—"
    assert human.money(420_000_000, unpriced=1) == "≥ $0.42"


@given(st.integers(min_value=1, max_value=10**15))
def test_any_amount_shows_a_digit_that_is_not_zero(nano: int) -> None:
    """Whatever was spent, the text of it holds a digit other than 0."""
    assert set(human.money(nano)) & set("123456789")


@given(st.text())
def test_recorded_text_cannot_steer_a_terminal(text: str) -> None:
    """Neither on one line nor on several does a control character come through, but for the line break."""
    controls = {chr(code) for code in (*range(32), 127, *range(128, 160), 0x202E, 0x2066)}
    assert set(human.line(text)) & controls == set()
    assert set(human.block(text)) & controls <= {"\n"}


def test_text_is_cut_to_its_width() -> None:
    """A long text ends in an ellipsis, and line breaks are shown as signs."""
    assert human.line("a\nb\tc\r", 0) == "a⏎b c"
    assert human.line("\x1b[31mred", 0) == "␛[31mred"
    assert human.line("abcdef", 4) == "abc…"
    assert human.line("abcd", 4) == "abcd"


def test_content_is_told_as_it_was_meant() -> None:
    """A JSON string is told bare, other JSON as it stands, and what is elsewhere by its size."""
    assert human.said(inline('"hello\\nyou"')) == "hello⏎you"
    assert human.said(inline('{"a":1}')) == '{"a":1}'
    assert human.said(inline('"broken')) == '"broken'
    assert human.said(Content(hash="00", size=2048)) == "(2 KiB)"
    assert human.said(Content(size=10, level="none")) == "(10 B, not kept)"
    assert human.said(None) == ""


def test_an_error_is_told_without_its_module() -> None:
    """The class of an error and what it said, on one line."""
    assert human.fault(Failure("pkg.module.Timeout", "no answer\nat all")) == "Timeout: no answer⏎at all"
    assert human.fault(Failure("Timeout")) == "Timeout"


def test_small_words_agree_with_their_numbers() -> None:
    """One call, two calls; shares, sizes and outcomes as people say them."""
    assert [human.some(number, "call") for number in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
    assert (human.share(None), human.share(0.9754)) == ("—", "97.5 %")
    assert (human.size(None), human.size(512), human.size(3 << 20), human.size(1 << 50)) == (
        "—",
        "512 B",
        "3 MiB",
        "1024 TiB",
    )
    assert human.outcome("failed", "tool_loop") == "failed: tool_loop"
    assert human.outcome("completed", "final_answer") == "completed"
    assert (human.count(None), human.count(12345)) == ("—", "12,345")


def test_a_step_need_not_say_its_kind_twice() -> None:
    """Its name stands behind its kind, on one line and cut to its width."""
    told = [
        human.step_name(*step) for step in (("handoff", "handoff to b\n"), ("handoff", "person"), ("plan", "plans"))
    ]
    assert told == ["to b⏎", "to a person", "plans"]
    assert human.step_name("tool", "person", 4) == "per…"
