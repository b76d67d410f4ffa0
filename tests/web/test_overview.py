from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from tachograph.queries.overview.figures import agents as agents_of
from tachograph.queries.overview.figures import figures as figures_of
from tachograph.queries.overview.figures import slow as slow_of
from tachograph.queries.overview.stops import Stop
from tachograph.queries.overview.when import Chosen
from tachograph.queries.period import Period
from tachograph.queries.stats import ErrorGroup, Group, Latency, Money, Outcomes, Tokens
from tachograph.store.memory import MemoryStore
from tachograph.web import overview
from tests.queries.overview.three import FIRST, NOW, filled

PERIOD = Period(FIRST, NOW)
DATES = {"start_date": "2025-06-15T00:00:00Z", "end_date": "2025-06-19T03:59:59.999999Z"}


def _at(agent: str | None = None) -> overview.Looked:
    return overview.looked(Chosen(PERIOD), agent)


def _store() -> MemoryStore:
    store = MemoryStore()
    filled(store)
    return store


def _asked(href: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(href)
    return parts.path, {name: value for name, value in parse_qsl(parts.query) if name not in DATES}


def test_figures_lead_to_what_they_count() -> None:
    """Each figure is worded, and leads to the list of what it counts, in the same period."""
    found = overview.figures(figures_of(_store(), PERIOD, NOW, {}).total, 2, _at())
    assert [(one.name, one.value, one.note, _asked(one.href)) for one in found] == [
        ("Runs", "3", "", ("/runs", {})),
        ("Success rate", "100.0 %", "3 of 3 that ended", ("/runs", {"status": "completed"})),
        ("Cost", "$0.000018", "", ("/runs", {"order": "dearest"})),
        ("Interventions", "2", "by limits", ("/interventions", {})),
        ("Model calls", "3", "", ("/steps", {"kind": "llm"})),
        ("Model latency p50", "1 s", "p95 1 s", ("/steps", {"kind": "llm"})),
        ("First token p50", "514 ms", "p95 528 ms", ("/steps", {"kind": "llm"})),
        ("Run duration p50", "5.82 s", "p95 6.86 s", ("/runs", {"order": "longest"})),
        ("Tool calls", "3", "3 failed", ("/steps", {"kind": "tool"})),
    ]
    assert _asked(found[-1].note_href) == ("/steps", {"kind": "tool", "status": "failed"})
    assert all(DATES.items() <= dict(parse_qsl(urlsplit(one.href).query)).items() for one in found)


def test_tokens_by_class() -> None:
    """Each class of tokens, with its share."""
    found = overview.tokens(figures_of(_store(), PERIOD, NOW, {}).total, _at())
    assert [(one.name, one.value, one.note) for one in found] == [
        ("Uncached input", "300", "81.3 % of input"),
        ("Cache read", "60", "16.3 % of input"),
        ("Cache write", "9", "2.4 % of input"),
        ("Output", "150", ""),
        ("Reasoning", "30", "20.0 % of output"),
    ]


def test_unknown_is_not_zero() -> None:
    """Without runs there is no rate and no time; what has no price or usage is unknown, or a lower bound."""
    nothing = {one.name: one.value for one in overview.figures(Group(), 0, _at())}
    assert nothing == {
        "Runs": "0", "Success rate": "—", "Cost": "$0.00", "Interventions": "0", "Model calls": "0",
        "Model latency": "—", "First token": "—", "Run duration": "—", "Tool calls": "0",
    }  # fmt: skip
    unknown = Group(calls=Outcomes(2, {"completed": 2}), tokens=Tokens(None, None, None, None, None, 2))
    assert {one.value for one in overview.tokens(unknown, _at())} == {"—"}
    some = Group(cost=Money(5_000, 3_000, 2_000, unpriced=1, reported=7_000), tokens=Tokens(5, 0, 0, 3, 0, missing=1))
    cost = overview.figures(some, 0, _at())[2]
    assert (cost.value, cost.note) == ("≥ $0.000005", "1 call without a price, $0.000007 as others said")
    assert [one.value for one in overview.tokens(some, _at())] == ["≥ 5", "—", "—", "≥ 3", "—"]


def test_open_runs_are_told() -> None:
    """Runs that have not ended count in no rate."""
    runs, rate = overview.figures(Group(runs=Outcomes(3, {"completed": 1, "failed": 1, "open": 1})), 0, _at())[:2]
    assert (runs.note, _asked(runs.note_href)) == ("1 open", ("/runs", {"status": "started"}))
    assert (rate.value, rate.note) == ("50.0 %", "1 of 2 that ended")


def test_many_runs_are_not_sorted() -> None:
    """A list that would have to read very many runs to sort them is not asked to."""
    cost = overview.figures(Group(runs=Outcomes(10_001)), 0, _at())[2]
    assert _asked(cost.href) == ("/runs", {})


def test_an_agent_stays_chosen() -> None:
    """Links keep the agent; its interventions have no list."""
    figures = overview.figures(figures_of(_store(), PERIOD, NOW, {"agent": "desk"}).total, 2, _at("desk"))
    assert [one.name for one in figures if not one.href] == ["Interventions"]
    assert {_asked(one.href)[1]["agent_type"] for one in figures if one.href} == {"desk"}


def test_periods_to_go_to() -> None:
    """The named periods, with the agent; none is chosen when dates are."""
    assert [(one.text, one.href, one.is_chosen) for one in overview.choices(_at("desk"))] == [
        ("1 h", "/?period=1h&agent_type=desk", False),
        ("24 h", "/?period=24h&agent_type=desk", False),
        ("7 d", "/?period=7d&agent_type=desk", False),
        ("30 d", "/?period=30d&agent_type=desk", False),
    ]
    named = overview.looked(Chosen(PERIOD, "7d"), None)
    assert [one.text for one in overview.choices(named) if one.is_chosen] == ["7 d"]
    assert named.address(view="table") == "/?period=7d&view=table"


def test_agents() -> None:
    """An agent leads to its own overview, its runs and its calls; one without runs says how its calls went."""
    desk, clerk = overview.agents(agents_of(_store(), PERIOD, NOW, {}), _at())
    assert (desk.name, desk.runs, desk.calls, desk.success, desk.cost, desk.slow) == (
        "desk", "2", "2", "100.0 %", "$0.000012", "6.89 s"
    )  # fmt: skip
    assert [desk.part, clerk.part] == pytest.approx([2 / 3, 1 / 3])
    assert (_asked(desk.narrower), _asked(desk.href), _asked(desk.calls_href)) == (
        ("/", {"agent_type": "desk"}),
        ("/runs", {"agent_type": "desk"}),
        ("/steps", {"kind": "llm", "agent_type": "desk"}),
    )
    calls = Outcomes(2, {"completed": 1, "failed": 1}, Latency(2, *(1_000_000_000,) * 7))
    [helper] = overview.agents([Group(("helper",), calls=calls)], _at())
    assert (helper.runs, helper.success, helper.href, helper.slow) == ("—", "50.0 %", "", "—")
    [nobody] = overview.agents([Group(("",), runs=Outcomes(1))], _at())
    assert (nobody.name, nobody.narrower, nobody.href) == ("no agent", "", "")


def test_models() -> None:
    """Models stand below their provider."""
    found = figures_of(_store(), PERIOD, NOW, {}).models
    assert found is not None
    assert [(row.name, row.under, row.calls, row.tokens_in, row.tokens_out, row.cost, row.slow) for row in
            overview.models(found, _at())] == [
        ("openai", "", "3", "369", "150", "$0.000018", "1 s"),
        ("gpt-4o", "openai", "2", "246", "100", "$0.000012", "1 s"),
        ("gpt-5", "openai", "1", "123", "50", "$0.000006", "1 s"),
    ]  # fmt: skip
    assert [_asked(row.href)[1] for row in overview.models(found, _at())][:2] == [
        {"kind": "llm", "provider": "openai"},
        {"kind": "llm", "provider": "openai", "model_id": "gpt-4o"},
    ]


def test_stop_reasons_steps_and_errors() -> None:
    """Each row leads to what it is about."""
    [ended, still_open] = overview.endings(
        (Stop("failed", "tool_loop", 3, 12, 5_000, 1), Stop("started", "", 1)), _at()
    )
    assert _asked(ended.href) == ("/runs", {"status": "failed", "stop_reason": "tool_loop"})
    assert (ended.share, ended.calls, ended.cost) == ("75.0 %", "12", "≥ $0.000005")
    assert _asked(still_open.href) == ("/runs", {"status": "started"})
    run, *_, tool = overview.slow(slow_of(_store(), PERIOD, NOW, {}))
    assert (run.kind, run.duration, run.part, run.href) == ("run", "7 s", 1, run.run_href)
    assert (tool.kind, tool.duration) == ("tool", "1 s")
    assert tool.href.startswith(f"{tool.run_href}/steps/")
    [failure] = overview.failures([ErrorGroup("tool", "Refused", 1_200)], _at())
    assert (failure.count, _asked(failure.href)) == ("1,200", ("/steps", {"kind": "tool", "error": "Refused"}))


def test_records_without_times() -> None:
    """Where every duration is 0, nobody measured: no time is told and no step is slow."""
    times = Latency(2, 0, 0, 0, 0, 0, 0, 0)
    group = Group(("desk",), runs=Outcomes(2, {"completed": 2}, times), calls=Outcomes(2, {"completed": 2}, times))
    figures = {one.name: one.value for one in overview.figures(group, 0, _at())}
    assert (figures["Model latency"], figures["Run duration"]) == ("—", "—")
    assert [row.slow for row in overview.agents([group], _at())] == ["—"]
    step = msgspec.structs.replace(slow_of(_store(), PERIOD, NOW, {})[0], duration_ms=0.0)
    assert overview.slow([step]) == ()
