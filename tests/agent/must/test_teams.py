"""What must hold of a team, whoever asks whom: limits, transcripts, ends, totals, and the record of each run."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as some
from msgspec import structs
from rich.console import Console

from tachograph.agent.agent import Agent
from tachograph.agent.call import outcome_of
from tachograph.agent.hooks import Hooks
from tachograph.agent.live import Live
from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.recorded import state_of
from tachograph.agent.state import State
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.turn import delegation
from tachograph.cli.draw import tree
from tachograph.events.call import CallStarted
from tachograph.events.note import Note
from tachograph.fold import receipt
from tachograph.limits.limit import Limits
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.queries.run import run as run_detail
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.must import laws
from tests.agent.must.adversary import DEEPEST, Adversary, Case, _tools, cases, crowds, hooks
from tests.agent.must.test_laws import EXAMPLES, Flown
from tests.agent.running import QUICK, agent
from tests.agent.teams import asks, family, whole


@pytest.mark.anyio
async def test_one_request_at_a_time_is_enough_for_five_levels(events: Captured) -> None:
    """Nobody holds a permit while it waits for a worker: it ends, and never are two requests under way."""
    scheduler, peak = Scheduler(concurrency=1), list[int]()

    def busy(answer: Any) -> Any:
        def ask(request: Request) -> Any:
            peak.append(scheduler.active)
            return answer

        return ask

    below: Agent | None = None
    for level in reversed(range(5)):
        name = f"level{level}"
        script = (
            [busy("bottom")] if below is None else [busy([asks(below.name, "a"), asks(below.name, "b")]), busy("up")]
        )
        model = ScriptedModel(_endless(script), delay=0.001)
        below = agent(model, name=name, delegates=() if below is None else [below], limits="depth 5, no turn limit")
    assert below is not None
    async with asyncio.timeout(30):
        found = whole(await below.but(scheduler=scheduler, limits=WIDE).run("go"), events)
    assert found.answer == "up"
    assert (set(peak), len(peak)) == ({1}, 2 * (1 + 2 + 4 + 8) + 16)
    assert (scheduler.active, scheduler.waiting) == (0, 0)


WIDE = Limits(iterations=None, llm_calls=None, tool_calls=None, session_runs=None, depth=5)


def _endless(script: list[Any]) -> Any:
    """Each answer by what was said last: the first to a question, the second to results."""
    return lambda request: script[request.messages[-1].role == "tool"](request)


class Team:
    """Runs of a tree with the state that each began in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[tuple[Live, State]] = []
        begin = delegation.begin  # type: ignore[attr-defined]

        def begins(*arguments: Any) -> Live:
            live = begin(*arguments)
            self.begun.append((live, live.state))
            return live

        monkeypatch.setattr(delegation, "begin", begins)


NAMES = ("a", "b", "c")
STEPS = some.sampled_from(
    [
        *[asks(name, message) for name in NAMES for message in "xy"],
        *[[asks(one), asks(other)] for one in NAMES for other in NAMES],
        [asks("a", "1"), asks("a", "2"), Call("add", {"a": 1, "b": 2})],
        Call("add", {"a": 3, "b": 4}), Call("same"), Call("nope"), "text", "", asks("a", "  "),
        asks("b", "z", reset_context=True), Say("cut", finish="length"),
    ]
)  # fmt: skip
FIGURES = some.fixed_dictionaries(
    {
        "iterations": some.integers(1, 8), "llm_calls": some.integers(1, 12), "tool_calls": some.integers(1, 12),
        "depth": some.integers(1, 4),
    },
)  # fmt: skip
MODES = some.fixed_dictionaries(
    {
        "tool_calls": some.sampled_from(["stop", "wrap_up", "block"]),
        "iterations": some.sampled_from(["stop", "wrap_up"]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    scripts=some.fixed_dictionaries({name: some.lists(STEPS, min_size=1, max_size=6) for name in ("lead", *NAMES)}),
    figures=some.fixed_dictionaries(dict.fromkeys(("lead", *NAMES), FIGURES)),
    modes=MODES,
    how=some.sampled_from(["persistent", "fork", "fresh"]),
)
def test_a_tree_of_agents_keeps_every_limit_and_its_record(
    scripts: dict[str, list[Any]], figures: dict[str, Any], modes: dict[str, Any], how: Any
) -> None:
    """Whoever asks whom: no run draws more than it and those above it may, and each log folds to its state."""
    limits = {name: Limits(**figures[name], modes=modes, session_runs=None) for name in scripts}
    made: dict[str, Agent] = {}

    def named(name: str) -> Any:
        return lambda: made[name]

    for name, script in scripts.items():
        model = ScriptedModel(script, strict=False)
        delegates = [Delegate(named(one), name=f"ask_{one}", mode=how) for one in NAMES]
        made[name] = agent(model, name=name, delegates=delegates, limits=limits[name])
    with capture(clock=SYSTEM) as events, pytest.MonkeyPatch.context() as patch:
        team = Team(patch)
        lead = made["lead"]
        found = asyncio.run(lead.run("go"))
    whole(found, events)
    laws.counts_hold(events, laws.Tree(events, limits))
    for one in made.values():
        laws.sent_validly(one.port.requests)  # type: ignore[attr-defined]
    for live, begun in team.begun:
        mine = [event for event in events if event.run == live.record.run_id]
        if any(isinstance(event.body, CallStarted) for event in mine):
            assert laws.differences(laws.as_recorded(state_of(mine, state=begun)), laws.as_recorded(live.state)) == {}


class Asking(Adversary):
    """An adversary that asks its workers."""

    def _said(self, answer: Any) -> Any:
        said = super()._said(answer)
        if isinstance(said, tuple):
            return tuple(map(_asking, said))
        if isinstance(said, Say):
            return structs.replace(said, calls=tuple(map(_asking, said.calls)))
        return _asking(said)


def _asking(said: Any) -> Any:
    if not isinstance(said, Call) or said.name != "child":
        return said
    prompt = said.arguments.get("prompt", "go") if isinstance(said.arguments, dict) else "go"
    return Call("child", {"message": prompt})


class Teamed(Flown):
    """A case whose agents are each other's delegates, run to its end."""

    def __init__(self, case: Case, mode: Any, hooked: int) -> None:
        self.model = Asking(case.script, case.delay)
        self.agents: list[Agent] = []
        for level in reversed(range(DEEPEST)):
            below = [Delegate(self.agents[0], name="child", mode=mode)] if self.agents else []
            made = Agent(
                name=f"level{level}", model=self.model, tools=_tools(None, None), delegates=below, retry=QUICK,
                limits=case.limits[min(level, len(case.limits) - 1)],
                hooks=hooks(case.hooks) if level == hooked else Hooks(), **case.fields,
            )  # fmt: skip
            self.agents.insert(0, made)
        with capture(clock=SYSTEM) as events, pytest.MonkeyPatch.context() as patch:
            self.team = Team(patch)
            self.stood = {}
            self.live = asyncio.run(self._fly(case))
        self.events = events


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), print_blob=True, deadline=None)
@given(
    case=some.one_of(cases(), crowds()),
    mode=some.sampled_from(["persistent", "fork", "fresh"]),
    hooked=some.integers(0, 2),
)
def test_the_laws_hold_for_delegates(case: Case, mode: Any, hooked: int) -> None:
    """Whatever models and hooks do, at whatever level, and whenever it is called off."""
    note(repr(case))
    flown = Teamed(case, mode, hooked)
    events, model = flown.events, flown.model
    tree = laws.Tree(events, {agent.name: agent.limits for agent in flown.agents})  # type: ignore[misc]
    laws.counts_hold(events, tree)
    laws.reservations_fit(events, tree, model.safe)
    laws.sent_validly(model.requests)
    laws.hold(family(outcome_of(flown.live)), events)
    for live in (flown.live, *(live for live, _ in flown.team.begun)):
        mine = [event for event in events if event.run == live.record.run_id]
        if any(isinstance(event.body, Note) for event in mine):  # else it was refused as a whole, and stood nowhere
            assert laws.differences(laws.as_recorded(state_of(mine)), laws.as_recorded(live.state)) == {}


def test_the_tree_of_a_team_is_drawn_with_its_names() -> None:
    """Each call of a worker is one step, the worker's run stands below it, and the record is complete."""
    leaf = agent(["yes"], name="leaf")
    worker = agent([asks("leaf", "well?"), "so it is"], name="worker", delegates=[leaf])
    lead = agent([asks("worker", "is it?"), "it is"], name="lead", delegates=[worker])
    with capture() as events:
        lead.run_sync("go")
    by_run = {event.run: [one for one in events if one.run == event.run] for event in events}
    assert [receipt.fold(mine).complete for mine in by_run.values()] == [True] * 3
    assert _drawn(events) == [
        "run lead",
        "├─ iteration 1",
        "│  ├─ llm scripted",
        '│  └─ tool ask_worker {"message":"is it?"}',
        "│     └─ run worker",
        "│        ├─ iteration 1",
        "│        │  ├─ llm scripted",
        '│        │  └─ tool ask_leaf {"message":"well?"}',
        "│        │     └─ run leaf",
        "│        │        └─ iteration 1",
        "│        │           └─ llm scripted",
        "│        └─ iteration 2",
        "│           └─ llm scripted",
        "└─ iteration 2",
        "   └─ llm scripted",
    ]


def _drawn(events: Captured) -> list[str]:
    """The tree of the first run, without its figures."""
    console = Console(width=150, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(tree.draw(run_detail(laws.stored(events), events[0].run), 150))
    below = captured.get().partition("\n\n")[2].partition("\n\n")[0]
    return [re.split(r"(?<=[^│ ]) {2,}", line.rstrip())[0] for line in below.splitlines()]
