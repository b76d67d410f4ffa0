from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import SettingsError
from tachograph.limits.limit import DAY, WRAPPING, Limits
from tachograph.limits.loops import Loops
from tachograph.limits.text import EXAMPLES, MODES, parse, spell


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("15 turns", Limits(iterations=15)),
        ("1 turn; 2 iterations", Limits(iterations=2)),
        ("60 model calls", Limits(llm_calls=60)),
        ("60 LLM calls", Limits(llm_calls=60)),
        ("100 tool calls", Limits(tool_calls=100)),
        ("depth 3", Limits(depth=3)),
        ("3 levels", Limits(depth=3)),
        ("2 hand-offs", Limits(handoffs=2)),
        ("60s", Limits(seconds=60)),
        ("5 min", Limits(seconds=300)),
        ("2h", Limits(seconds=7_200)),
        ("1h 30m", Limits(seconds=5_400)),
        ("1.5 hours", Limits(seconds=5_400)),
        ("250 ms", Limits(seconds=0.25)),
        ("90 seconds", Limits(seconds=90)),
        ("1M tokens", Limits(tokens=1_000_000)),
        ("500k tokens", Limits(tokens=500_000)),
        ("1.5 million tokens", Limits(tokens=1_500_000)),
        ("1,000,000 tokens, 3 turns", Limits(tokens=1_000_000, iterations=3)),
        ("2_000 tokens", Limits(tokens=2_000)),
        ("$1.50", Limits(usd=Decimal("1.50"))),
        ("1.5 USD", Limits(usd=Decimal("1.5"))),
        ("usd 3", Limits(usd=3)),
        ("$20/session", Limits(session_usd=20)),
        ("$100/tenant/day", Limits(tenant_usd=100)),
        ("$100 per tenant per hour", Limits(tenant_usd=100, tenant_window=3_600)),
        ("30 runs/session", Limits(session_runs=30)),
        ("3 runs/session/12h, 4 tools/session", Limits(session_runs=3, session_tool_calls=4, session_window=43_200)),
        ("9 runs/tenant/ever", Limits(tenant_runs=9, tenant_window=None)),
        ("no session window", Limits(session_window=None)),
        ("session window 2 days", Limits(session_window=2 * DAY)),
        ("60s/call, 4k tokens/call", Limits(call_seconds=60, call_tokens=4_000)),
        ("no cost limit", Limits(usd=None)),
        ("no limit on turns", Limits(iterations=None)),
        ("unlimited tokens", Limits(tokens=None)),
        ("without limit on runs/session", Limits(session_runs=None)),
        ("15 turns: wrap_up", Limits(iterations=15, modes={"iterations": "wrap_up"})),
        ("turns: wrap up", Limits(modes={"iterations": "wrap_up"})),
        ("$9/session: warn", Limits(session_usd=9, modes={"session_usd": "warn"})),
        ("3 same calls", Limits(loops=Loops(same_calls=3))),
        ("4 repeats: stop", Limits(loops=Loops(stop=4))),
        ("no repeats: skip", Limits(loops=Loops(skip=None))),
        ("2 rounds, 3 errors, 9 equal results", Limits(loops=Loops(cycle=2, errors=3, no_progress=9))),
        ("2 news", Limits(loops=Loops(news=2))),
        ("no news", Limits(loops=Loops(news=None))),
        ("loops: handoff", Limits(loops=Loops(mode="handoff"))),
        ("warn at 70% and 90%", Limits(early=(0.7, 0.9))),
        ("strict, allow when unavailable", Limits(strict=True, unavailable="allow")),
        ("", Limits()),
        (" , ", Limits()),
    ],
)  # fmt: skip
def test_what_can_be_said(text: str, limits: Limits) -> None:
    """Each text states these limits and no others, and what is spelled back states the same."""
    assert parse(text) == limits
    assert parse(spell(limits)) == limits


def test_all_of_it_at_once() -> None:
    """Parts are separated by commas, in any order, and a later one takes the place of an earlier one."""
    text = "15 turns, $1, 60s, 3 same calls"
    assert parse(text) == Limits(iterations=15, usd=1, seconds=60, loops=Loops(same_calls=3))
    assert spell(parse(text)) == "15 turns, 60s, $1, 3 same calls"
    assert parse("15 turns, 7 turns").iterations == 7


def test_no_loop_detection_is_one_phrase() -> None:
    """It takes every rule away, is spelled as it is said, and counting calls may be put back."""
    off = parse("no loop detection")
    assert [off.loops.warn, off.loops.block, off.loops.skip, off.loops.stop] == [None] * 4
    assert [off.loops.cycle, off.loops.errors, off.loops.no_progress] == [None] * 3
    assert spell(off) == "no loop detection"
    assert spell(parse("no loop detection, 3 same calls")) == ", ".join([
        "no repeats: warn", "no repeats: block", "no repeats: skip", "no repeats: stop", "3 same calls",
        "no rounds limit", "no errors limit", "no equal results limit",
    ])  # fmt: skip


def test_what_is_not_mentioned_stays() -> None:
    """Onto other limits a text changes only what it states."""
    mine = Limits(iterations=40, usd=None, modes={"usd": "warn"})
    assert parse("2 turns", mine) == replace(mine, iterations=2)


def test_what_somebody_says_is_stated() -> None:
    """A figure that was said counts as stated even when it is the shipped one; what was not said does not."""
    stated = {limit.metric: limit.stated for limit in parse("$5, 15 turns").each() if limit.scope == "run"}
    assert (stated["cost_budget"], stated["max_iterations"], stated["token_budget"]) == (True, True, False)
    assert spell(parse("$5, 15 turns")) == "15 turns, $5"


def test_the_whole_policy_can_be_spelled() -> None:
    """With `whole` every limit is told, the shipped ones too, and it reads back."""
    assert spell(Limits(), whole=True) == (
        "15 turns, 60 model calls, 100 tool calls, depth 5, 3 handoffs, 30 min, 1M tokens, $5, 5 min/call, "
        "30 runs/session, 2 repeats: warn, 3 repeats: block, 4 repeats: skip, 6 repeats: stop, 3 rounds, 5 errors, "
        "6 equal results, 1 news, loops: stop"
    )
    assert parse(spell(Limits(), whole=True)) == Limits()
    assert spell(Limits()) == ""
    assert parse(spell(parse(EXAMPLES), whole=True)) == parse(EXAMPLES)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("15 turnz", "did you mean turn"),
        ("15 minits", "did you mean minute"),
        ("5 tool cals", "did you mean tool call"),
        ("$5/sesion", "did you mean /session"),
        ("15 turns: wrapup", "did you mean wrap_up"),
        ("15 turns: explode", "observe, warn, nudge"),
        ("something", "15 turns, 60 model calls"),
        ("no foo limit", "15 turns, 60 model calls"),
        ("no tool calls", "no limit on tool calls, or that there may be none: 0 tool calls"),
        ("without handoffs", "0 handoffs"),
        ("no cost", "$0"),
        ("1.5 turns", "a whole number of turns"),
        ("-5 turns", "15 turns"),
        ("turns", "say how much"),
        ("30 runs", "/session or /tenant"),
        ("depth 3/session", "/run"),
        ("5 turns/day", "/session or /tenant"),
        ("$1/session/tenant", "/call, /run, /session or /tenant"),
        ("$1/session/fortnight", "a window is hour, day"),
        ("$1/session/hour, 3 runs/session/day", "one window a scope"),
        ("5 repeats", "3 repeats: block"),
        ("5 repeats: observe", "warn, block, skip, stop"),
        ("3 same calls: block", "loops: block"),
        ("3 same calls/session", "counted in a run"),
        ("0 same calls", "from 1"),
        ("100%", "between 0 and 1"),
    ],
)
def test_what_cannot_be_read_says_what_can(text: str, hint: str) -> None:
    """The error names the part that was not understood, and what it may have meant."""
    with pytest.raises(SettingsError) as caught:
        parse(f"$2, {text}" if text != "$1/session/hour, 3 runs/session/day" else text)
    assert hint in str(caught.value)


COUNT = st.integers(0, 10**7)
FIGURES: dict[str, Any] = {
    **dict.fromkeys(
        ["iterations", "llm_calls", "tool_calls", "depth", "handoffs", "tokens", "call_tokens", "session_runs",
         "session_tokens", "session_tool_calls", "session_llm_calls", "tenant_runs", "tenant_llm_calls",
         "tenant_tool_calls", "tenant_tokens"],
        st.none() | COUNT,
    ),
    **dict.fromkeys(["seconds", "call_seconds"], st.none() | st.floats(0, 10**7).map(lambda value: round(value, 3))),
    **dict.fromkeys(
        ["usd", "call_usd", "session_usd", "tenant_usd"], st.none() | st.decimals(0, 10**6, places=4, allow_nan=False)
    ),
    **dict.fromkeys(["session_window", "tenant_window"], st.none() | st.integers(1, 10**6).map(float)),
}  # fmt: skip
RUNG = st.none() | st.integers(1, 50)
LOOPS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ["warn", "block", "skip", "stop", "news", "same_calls", "cycle", "errors", "no_progress"], RUNG
        ),
        "mode": st.sampled_from(MODES),
    },
)


@st.composite
def policies(draw: st.DrawFn) -> Limits:
    """Limits that a text can state."""
    stated = draw(st.fixed_dictionaries({}, optional=FIGURES))
    names = [name for name in FIGURES if not name.endswith("window")]
    found = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(MODES), max_size=3))
    modes = {name: mode for name, mode in found.items() if mode != "wrap_up" or name in WRAPPING}
    early = draw(st.lists(st.integers(1, 99), max_size=3, unique=True).map(sorted))
    return Limits(
        **stated,
        modes=modes,
        loops=msgspec.structs.replace(Loops(), **draw(LOOPS)),
        early=tuple(share / 100 for share in early),
        strict=draw(st.booleans()),
        unavailable=draw(st.sampled_from(["refuse", "allow"])),
    )


@given(policies(), st.booleans())
def test_what_is_spelled_reads_back(limits: Limits, whole: bool) -> None:
    """The text of any limits states the same limits, and of each whether it was stated."""
    text = spell(limits, whole=whole)
    assert parse(text) == limits, text
    assert whole or [limit.stated for limit in parse(text).each()] == [limit.stated for limit in limits.each()]


@given(st.text(alphabet="0159.,$/:% _-abdehiknoprstuwxyMk", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text leads to another error than the one that says what can be said."""
    try:
        limits = parse(text)
    except SettingsError:
        return
    assert parse(spell(limits)) == limits
