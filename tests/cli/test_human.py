from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from tachograph.cli import human
from tachograph.events.content import Content, inline
from tachograph.events.run import Failure


def test_a_moment_is_told_on_the_clock_of_the_reader() -> None:
    """Nanoseconds since 1970 become a date and a time; what cannot be one is unknown."""
    assert human.moment(1_760_000_000_000_000_000, UTC) == "2025-10-09 08:53"
    assert human.moment(1_760_000_000_000_000_000, UTC, seconds=True) == "2025-10-09 08:53:20"
    assert (human.moment(None), human.moment(10**30, UTC)) == ("—", "—")


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


def test_a_step_need_not_say_its_kind_twice() -> None:
    """Its name stands behind its kind, on one line and cut to its width."""
    told = [
        human.step_name(*step) for step in (("handoff", "handoff to b\n"), ("handoff", "person"), ("plan", "plans"))
    ]
    assert told == ["to b⏎", "to a person", "plans"]
    assert human.step_name("tool", "person", 4) == "per…"
