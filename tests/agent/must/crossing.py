"""A team in which everything meets: what a test may draw of it, how it is made, and a run of it that is watched.

A lead that reads, has effects, needs approval and keeps things; a worker that it asks, with a worker of its own; and
another agent that it hands over to, and back. All of them say what one scripted model says, whoever is at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import strategies as some
from msgspec import Struct

from tachograph.agent.agent import Agent
from tachograph.agent.call import begin, call_of
from tachograph.agent.guardrails.guardrail import Block, Guardrail, Redact, Refuse
from tachograph.agent.guardrails.rule import Rule
from tachograph.agent.hooks import Hooks
from tachograph.agent.live import Live
from tachograph.agent.memory import Memory
from tachograph.agent.people.ask import hand_to_person
from tachograph.agent.people.person import Person
from tachograph.agent.recorded import RecordedState
from tachograph.agent.reminders import Reminder
from tachograph.agent.run import fly
from tachograph.agent.state import State
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.agent.turn import delegation
from tachograph.errors import LimitExceeded, TachographError
from tachograph.events.chat import Message, ToolUse, user
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.fold.transcript import Fetch
from tachograph.limits.limit import Limits
from tachograph.limits.text import spell
from tachograph.providers.scripted import Call, Say
from tests.agent.must import laws
from tests.agent.must.adversary import FAILURES, HOOKS, LIES, SMALL, WIDE, Adversary, Effecting, hooks, policies
from tests.agent.running import QUICK, add, same
from tests.agent.teams import asks

LONGEST = 10.0
"""Seconds after which a run of these has hung."""
NAMES = ("lead", "worker", "deep", "second")


class Team(Struct, frozen=True, kw_only=True):
    """One team, and what happens to its run."""

    script: tuple[Any, ...]
    limits: tuple[Limits, ...]
    """Of the lead, the worker, its worker, and the agent that is handed to."""
    hooks: tuple[Effecting, ...] = ()
    hooked: str = "lead"
    mode: str = "fresh"
    at_once: int | None = None
    """Most calls of a worker at the same time."""
    back: bool = False
    filtered: bool = False
    guarded: tuple[str, ...] = ()
    remembers: bool = False
    reminds: bool = False
    small: bool = False
    pauses: bool = True
    reached: bool = True
    """Whether a person can be reached."""
    history: bool = False
    instructions: bool = True
    answers: type = str
    nudges: int = 2
    parallel: int = 4
    cancel_at: int | None = None
    cancel_turns: tuple[int, ...] = ()

    def told(self) -> str:
        """What is special about it, for whoever reads a failing case."""
        fresh = Team(script=(), limits=())
        plain = {name: getattr(self, name) for name in self.__struct_fields__ if name != "limits"}
        said = {name: value for name, value in plain.items() if value != getattr(fresh, name)}
        limits = {name: spell(one) for name, one in zip(NAMES, self.limits, strict=True) if one != EASY}
        return f"{said} {limits}"


# ---- what can be drawn ----------------------------------------------------------------------------------------------

CALLS = some.sampled_from(
    [
        Call("add", {"a": 1, "b": 2}), Call("add", {"a": 1, "b": 2}, id="x"), Call("add", '{"a": 1, "b"'),
        Call("same"), Call("nope"), Call("boom"), Call("giant"), Call("slow"),
        Call("pay", {"what": "one"}), Call("pay", {"what": "two"}), Call("pay", {"what": "one"}, id="x"),
        Call("buy", {"what": "red"}), Call("buy", {"what": "blue"}), Call("buy", {}),
        Call("note", {"what": "n"}), Call("expand", {"handle": "result_1"}),
        Call("hand_to_person", {"reason": "help"}),
        Call("handoff_to_second", {"reason": "so"}), Call("handoff_to_lead"), Call("handoff_to_second"),
        asks("worker"), asks("worker", "again"), asks("deep"), asks("worker", "z", reset_context=True),
    ]
)  # fmt: skip
SEVERAL = some.lists(CALLS, min_size=1, max_size=5).map(tuple)
TEXTS = some.sampled_from(["", "17", "text", "x" * 9_000, "the price is $5", "no idea"])
SAID = some.builds(
    Say, TEXTS, some.lists(CALLS, max_size=3).map(tuple), usage=LIES,
    finish=some.sampled_from([None, None, None, "length", "content_filter"]),
)  # fmt: skip
ANSWERS = some.one_of(SEVERAL, SEVERAL, SEVERAL, SAID, TEXTS, FAILURES)
EASY = Limits(**{**WIDE, "iterations": 10, "llm_calls": 24, "tool_calls": 40, "seconds": 5})
GUARDED = {
    "result": Guardrail(name="r", on="tool", of="result", rules=(Rule("n", ("the same",)),), does=Redact()),
    "arguments": Guardrail(name="a", on="tool", of="arguments", rules=(Rule("two", ("two",)),), does=Redact()),
    "call": Guardrail(name="c", on="tool", of="arguments", tools="same", does=Block("not that")),
    "price": Guardrail(name="p", on="output", rules=(Rule("price", (r"\$ *\d",)),), does=Refuse("No prices.")),
    "answer": Guardrail(name="o", on="output", rules=(Rule("text", ("text",)),), does=Redact()),
    "prompt": Guardrail(name="i", on="input", rules=(Rule("go", ("go",)),), does=Redact()),
}


@some.composite
def teams(draw: Any) -> Team:
    """Any team."""
    limits = some.one_of(some.just(EASY), some.just(EASY), policies(), handing())
    return Team(
        script=(*draw(some.lists(SEVERAL, max_size=3)), *draw(some.lists(ANSWERS, min_size=1, max_size=6))),
        limits=tuple(draw(limits) for _ in NAMES),
        hooks=draw(some.one_of(some.just(()), HOOKS)),
        hooked=draw(some.sampled_from(NAMES)),
        mode=draw(some.sampled_from(["persistent", "fork", "fresh"])),
        at_once=draw(some.sampled_from([None, None, 1])),
        guarded=draw(some.lists(some.sampled_from(sorted(GUARDED)), max_size=2, unique=True).map(tuple)),
        **{name: draw(some.booleans()) for name in _SWITCHES},
        answers=draw(some.sampled_from([str, str, int])),
        nudges=draw(some.integers(0, 2)),
        parallel=draw(some.sampled_from([1, 4])),
        cancel_at=draw(some.one_of(some.none(), some.none(), some.integers(1, 60))),
        cancel_turns=draw(some.one_of(some.just(()), some.lists(some.integers(1, 90), max_size=2).map(tuple))),
    )


_SWITCHES = (
    "back", "filtered", "remembers", "reminds", "small", "pauses", "reached", "history", "instructions",
)  # fmt: skip


@some.composite
def handing(draw: Any) -> Limits:
    """Few hand-offs, few calls, in the modes that end otherwise than by stopping."""
    modes = draw(some.fixed_dictionaries({
        "tool_calls": some.sampled_from(["stop", "wrap_up", "block", "handoff"]),
        "iterations": some.sampled_from(["stop", "wrap_up", "handoff"]),
        "handoffs": some.sampled_from(["stop", "block", "handoff"]),
    }))  # fmt: skip
    figures = {"tool_calls": draw(some.integers(1, 9)), "iterations": draw(some.integers(1, 6))}
    return Limits(**{**WIDE, **figures}, handoffs=draw(some.integers(0, 2)), modes=modes)


# ---- what is made of it ---------------------------------------------------------------------------------------------


class Made:
    """The agents of a team, their model, and what their tools did."""

    def __init__(self, team: Team, effects: Callable[[str], None] | None = None) -> None:
        self.model = Adversary(team.script)
        self.effects: list[str] = []
        self._effect = effects or self.effects.append
        self.team = team
        deep = self._agent("deep")
        worker = self._agent("worker", delegates=[self._asked(deep)])
        back = Handoff(lambda: self.lead, back=team.back)
        self.second = self._agent("second", delegates=[self._asked(worker)], handoffs=[back])
        way = Handoff(self.second, input_filter=_only_said if team.filtered else None, back=team.back)
        self.lead = self._agent("lead", delegates=[self._asked(worker), self._asked(deep)], handoffs=[way])
        self.limits = dict(zip(NAMES, team.limits, strict=True))

    def _asked(self, agent: Agent) -> Delegate:
        return Delegate(agent, mode=self.team.mode, parallel=self.team.at_once)  # type: ignore[arg-type]

    def _agent(self, name: str, **more: Any) -> Agent:
        team = self.team
        return Agent(
            name=name, model=self.model, tools=self._tools(), retry=QUICK, limits=team.limits[NAMES.index(name)],
            hooks=hooks(team.hooks) if team.hooked == name else Hooks(), parallel=team.parallel, nudges=team.nudges,
            instructions=f"You are {name}." if team.instructions else "", gate_refusals=1, schema_retries=1,
            guardrails=tuple(GUARDED[one] for one in team.guarded), output=team.answers,
            memory=Memory(recall=lambda query: ["It was red."]) if team.remembers else None,
            reminders=(Reminder("Mind."), Reminder("Once.", first=True)) if team.reminds else (),
            compaction=SMALL if team.small else None, approve=Pause() if team.pauses else None,
            hand_over=Person(self._taken_over, attempts=2, wait=0.001), max_tokens=50, **more,
        )  # fmt: skip

    def _taken_over(self, asked: Any) -> Any:
        return self.team.reached

    def _did(self, context: ToolContext, what: str) -> str:
        self._effect(f"{context.run_id} {context.iteration} {context.call_id} {context.tool} {what}")
        return f"{context.tool} {what}: done"

    def _tools(self) -> list[Any]:
        async def pay(what: str, context: ToolContext) -> str:
            return self._did(context, what)

        async def buy(what: str, context: ToolContext) -> str:
            await asyncio.sleep(0)
            return self._did(context, what)

        async def boom() -> str:
            raise ConnectionError("boom")

        async def slow() -> str:
            await asyncio.sleep(0.002)
            return "slow"

        async def giant() -> str:
            return "g" * 6_000

        async def note(what: str, context: ToolContext) -> str:
            context.keep("noted", [*context.scratch.get("noted", ()), what])
            return "noted"

        reads = [Tool.of(one, classification="read") for one in (boom, slow, note)]
        effects = [Tool.of(pay, classification="write"), Tool.of(buy, classification="write", approve=True)]
        cut = Tool.of(giant, classification="read", most_chars=700)
        return [add, same, *reads, *effects, cut, hand_to_person()]


def _only_said(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role == "user"] or [user("go")]


BEFORE = (
    user("hello"), Message("assistant", "", tool_calls=(ToolUse("before", "same", "{}"),)),
    Message("tool", "the same", name="same", tool_call_id="before"), Message("assistant", "h" * 900),
)  # fmt: skip
"""What was said in runs before."""


# ---- what comes of it -----------------------------------------------------------------------------------------------


class Watch:
    """Runs, their states after each event at which they changed, and whose they were."""

    def __init__(self) -> None:
        self.stood: dict[str, dict[int, State | None]] = {}
        """Run → seq of its last event then → where the loop stood; None from when it has decided to end."""
        self.lives: dict[str, Live] = {}
        """Run → the last that performed it."""

    def watch(self, live: Live) -> None:
        """Keep where it stands whenever that changes."""
        watch = self

        class Watched(Live):
            def __setattr__(self, name: str, value: Any) -> None:
                object.__setattr__(self, name, value)
                run = self.record.run_id
                if name == "state" and run is not None:
                    watch.lives[run] = self
                    stood, seq = watch.stood.setdefault(run, {}), self.record.last_seq
                    stood[seq] = value if value.end is None else stood.get(seq)
                    if value.end is not None:  # decided, and not on record yet
                        stood[seq + 1] = None

        live.__class__ = Watched
        if live.again:
            setattr(live, "state", live.state)  # noqa: B010 - where it goes on is a moment, too

    @contextmanager
    def children(self) -> Iterator[None]:
        """The runs of delegates, too."""
        begin = delegation.begin  # type: ignore[attr-defined]

        def begins(*arguments: Any) -> Live:
            live = begin(*arguments)
            self.watch(live)
            return live

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delegation, "begin", begins)
            yield

    def agrees(self, run: str, events: Sequence[Event], fetch: Fetch | None = None) -> None:
        """What is folded from the log is where the run stood: after each of its events, and at its end."""
        mine = [event for event in events if event.run == run]
        if not any(isinstance(event.body, Note) for event in mine):  # it was refused as a whole, and stood nowhere
            return
        recorded = RecordedState(fetch)
        folded = [recorded.apply(event) for event in mine]
        stood = self.stood.get(run, {})
        moments = sorted(stood)
        for place, seq in enumerate(moments):
            if (live := stood[seq]) is None:
                continue
            state = laws.as_recorded(live)
            for later in range(seq, moments[place + 1] if place + 1 < len(moments) else seq + 1):
                if isinstance(mine[later + 1].body, LimitHit):  # a start and what was noticed at it are one moment
                    continue
                found = laws.differences(laws.as_recorded(folded[later]), state)
                assert found == {}, (seq, later, [event.body for event in mine[max(0, later - 4) : later + 2]])
        if run in self.lives:
            assert laws.differences(laws.as_recorded(folded[-1]), laws.as_recorded(self.lives[run].state)) == {}


async def flown(made: Made, watch: Watch, prompt: Any, cancel_at: int | None = None, **call: Any) -> Live:
    """A run of the lead, to its end or until it is called off: at its n-th progress value, or when the team says."""
    team, lead = made.team, made.lead
    live = begin(lead, lead.port, prompt, call_of(call))
    watch.watch(live)
    task = asyncio.ensure_future(fly(live, prompt))
    left = [cancel_at]

    def count(value: object) -> None:
        left[0] = None if left[0] is None else left[0] - 1
        if left[0] == 0:
            task.cancel()

    async def later() -> None:
        for turns in team.cancel_turns:
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()

    live.emitter.subscribe(object, count)
    calling_off = asyncio.ensure_future(later())
    with watch.children():
        _, waiting = await asyncio.wait({task}, timeout=LONGEST)
    calling_off.cancel()
    assert not waiting, "it hangs"
    with suppress(LimitExceeded, asyncio.CancelledError):
        task.result()
    assert not isinstance(live.error, Exception) or _is_known(live.error), repr(live.error)
    return live


def _is_known(error: Exception) -> bool:
    """Whether the model or a limit has ended the run, and no fault of ours."""
    return isinstance(error, TachographError) or "scripted" in str(error)
