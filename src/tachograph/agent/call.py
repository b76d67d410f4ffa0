"""One call of an agent: what it is asked, and what the call brings beside that; and how a run of it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from msgspec import structs

from tachograph import compose
from tachograph.agent.answer.outcome import Outcome, Spending
from tachograph.agent.compact.measure import Gauge
from tachograph.agent.crew.crew import Crew
from tachograph.agent.guardrails.guardrail import Guardrail
from tachograph.agent.hooks import Hooks
from tachograph.agent.live import Live, Post
from tachograph.agent.progress import Emitter
from tachograph.agent.reminders import Reminder, Reminding, cleaned
from tachograph.agent.spec import Spec, effective
from tachograph.agent.state import Answered, End, State, Told, advance
from tachograph.agent.team.dialogues import Team
from tachograph.agent.tools.results import Shelf
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import INTERRUPTED, closed, hiding
from tachograph.errors import InvalidTranscript, SettingsError
from tachograph.events.chat import Message, Part, read, result, system, user
from tachograph.fold.approvals import Approval
from tachograph.fold.cost import PriceBook
from tachograph.limits.limit import Limits
from tachograph.providers.port import ModelPort
from tachograph.record import scope
from tachograph.record.door import Recorded
from tachograph.record.recorder import Recorder
from tachograph.record.run import Run, run

Prompt = str | Message | Mapping[str, Any] | Sequence[str | Part]
_PROMPT = "a text, texts and media in order, or a message"


@dataclass(frozen=True)
class Onward:
    """Where a run goes on that did not begin here: in a run of its own (a fork), or in the very same one."""

    state: State
    """Its instructions are in it."""
    record: Run | None = None
    """The run that was taken over; None: a new one."""
    spent: Spending = field(default_factory=Spending)
    """What that run had used."""
    facts: Sequence[Told] = ()
    """What the runtime says before anything else happens."""
    asked_by: int | None = None
    """Number of the attempt that brought the last reply."""
    asks: Sequence[Approval] = ()
    """What a person is asked about before it goes on: then it waits."""
    done: Mapping[int, tuple[Message, bool]] = field(default_factory=dict)
    """Results that open calls have already, by their place."""
    paused: Mapping[int, str] = field(default_factory=dict)
    """Runs of delegates that paused in open calls."""
    wake: Callable[[Any, str, Any], Awaitable[Any]] | None = None
    """What takes those up again."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one call of an agent brings beside its prompt. None leaves it to the agent."""

    history: Sequence[Message | Mapping[str, Any]] = ()
    """The conversation so far, without instructions."""
    onward: Onward | None = None
    """Where another run stood, to go on from there; `history` is left out then."""
    limits: Limits | str | None = None
    session: str | None = None
    user: str | None = None
    tenant: str = "default"
    platform: str | None = None
    environment: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    refs: Mapping[str, str] | None = None
    execution_id: str | None = None
    traceparent: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """What instructions, tools and hooks may read; never sent by itself."""
    hooks: Hooks | None = None
    """Beside those of the agent."""
    guardrails: Sequence[Guardrail] = ()
    """After those of the agent."""
    reminders: Sequence[Reminder] = ()
    reminding: Reminding = field(default_factory=Reminding)
    """What earlier runs of this conversation were reminded of."""
    said: Sequence[str] = ()
    """Reminders for the first request alone."""
    toolbox: Callable[[], Mapping[str, Tool]] | None = None
    """Asked before every request, for sets of tools that change."""
    shelf: Shelf | None = None
    """Where results that are too large are kept; one of its own when None."""
    team: Team | None = None
    """What was said to delegates in earlier runs of this conversation; nothing when None."""
    gauge: Gauge | None = None
    """What earlier runs of this conversation have learnt of its size."""
    instructions: str | None = None
    start: str | None = None
    """Name of the agent that begins, of those that hand-offs lead to; None: the one that is called."""
    emitter: Emitter | None = None
    below: Recorded | str | None = None
    name: str | None = None
    closing: Callable[[Live], object] | None = None
    """Told of the run when its conversation is whole and before its record ends. It must not raise."""


_OWN = frozenset(
    {"onward", "reminding", "said", "toolbox", "shelf", "team", "gauge", "emitter", "below", "name", "closing"}
)
"""Keywords by which parts of this package talk to each other; no error names them."""


def begin(spec: Spec, port: ModelPort, prompt: Prompt | None, call: Call) -> Live:
    """Everything a run needs, before anything is recorded. Raises SettingsError, InvalidTranscript."""
    crew = Crew(
        lead=spec, port=port, hooks=call.hooks, reminders=call.reminders, context=call.context,
        instructions=call.instructions, offered=call.toolbox,
    )  # fmt: skip
    tools = crew.tools()
    limits = effective(spec, call.limits, tools)
    onward = call.onward
    at_work = call.start or ("" if onward is None else onward.state.agent) or spec.name
    post = crew.post(at_work)
    nothing = not call.history and onward is None if prompt is None else not _says(cleaned(message_of(prompt))[0])
    if nothing:
        raise InvalidTranscript(len(call.history), "nothing is said: give a prompt, or a history to go on from")
    state = _stands(post, call, tools)
    recorder = scope.recorder()
    clock = recorder.clock
    live = Live(
        spec=post.spec, port=post.port, limits=limits, clock=clock,
        record=(onward and onward.record) or _record(spec, post, prompt, call, limits),
        prices=_prices(recorder), emitter=call.emitter or Emitter(), offered=post.offered, approve=post.spec.approve,
        hooks=post.hooks, context=call.context, shelf=call.shelf or Shelf(), team=call.team or Team(),
        reminders=post.reminders, guardrails=tuple(call.guardrails), fresh=onward is None,
        reminding=call.reminding, waiting=list(call.said), salt=clock.entropy(16), began=clock.mono(),
        instructions=post.instructions if onward is None else _instructions(state), posts=crew.post,
        lead=spec.name, edges=post.edges, part=post.limits,
        gauge=call.gauge or Gauge(), closing=call.closing,
    )  # fmt: skip
    live.state = state if onward is not None and onward.record is not None else _free(state, prompt)
    if onward is not None:
        live.spent, live.facts, live.asked_by, live.asks = onward.spent, onward.facts, onward.asked_by, onward.asks
        live.again, live.done, live.paused, live.wake = (
            onward.record is not None,
            onward.done,
            onward.paused,
            onward.wake,
        )
    return live


def _stands(post: Post, call: Call, tools: Mapping[str, Tool]) -> State:
    """Where the run begins."""
    name = post.spec.name
    if call.onward is not None:
        state = call.onward.state
        visited = state.visited if name in state.visited else (*state.visited, name)
        return structs.replace(state, agent=name, visited=visited)
    said = post.instructions
    return State(
        messages=((system(said, cache=post.spec.cache),) if said else ()) + _history(call, tools, said),
        phase=post.spec.phases[0].name if post.spec.phases else "",
        agent=name,
        visited=(name,),
    )


def _free(state: State, prompt: Prompt | None) -> State:
    """Where something can be said: calls that were open are not made then, and the model is told so."""
    if prompt is None or not state.open:
        return state
    return advance(state, Answered(tuple(result(call, INTERRUPTED) for call in state.open)))


def _instructions(state: State) -> str:
    first = state.messages[:1]
    return first[0].text if first and first[0].role == "system" else ""


def outcome_of(live: Live) -> Outcome[Any]:
    """The outcome as it stands."""
    state, end = live.state, live.state.end or End("abandoned", "")
    messages = state.messages[1:] if live.instructions else state.messages
    return Outcome(
        status=end.status, stop_reason=end.reason, answer=end.answer, output=end.value, detail=end.detail,
        error=live.error, spent=live.spent, iterations=state.iteration, seconds=live.seconds,
        run_id=live.record.run_id, execution_id=live.record.execution_id, session=live.record.trigger.session,
        last_seq=live.record.last_seq, messages=messages, agent=live.spec.name,
        children=tuple(live.children),
        message=None if state.handing is None else state.handing.text,
        waiting=_waiting(live) if end.status == "paused" else (),
    )  # fmt: skip


def _waiting(live: Live) -> tuple[Approval, ...]:
    """What the run waits for, and those below it that paused it."""
    own = [one for one in live.state.approvals.values() if one.decided is None]
    paused = set(live.paused.values())
    below = (
        one if one.run else structs.replace(one, run=child.run_id or "")
        for child in live.children
        if child.run_id in paused and child.status == "paused"
        for one in child.waiting
    )
    return (*own, *below)


def _prices(recorder: Recorder) -> Callable[[], PriceBook]:
    """What calls cost where they are recorded."""
    return recorder.prices or (lambda: compose.current().prices)


def call_of(given: Mapping[str, Any]) -> Call:
    """A call from the keywords of a program. Raises SettingsError for one that there is not."""
    known = {one.name for one in fields(Call)}
    for name in given.keys() - known:
        raise SettingsError(
            name, given[name], f"no such keyword of a call; there are {', '.join(sorted(known - _OWN))}"
        )
    return Call(**given)


def _says(message: Message) -> bool:
    return bool(message.text.strip() or message.media or message.tool_calls)


def message_of(prompt: Prompt) -> Message:
    """A prompt as a message of the user. Raises SettingsError for what is none."""
    if isinstance(prompt, str):
        return user(prompt)
    try:
        if isinstance(prompt, Message):
            return prompt
        if isinstance(prompt, Mapping):
            return read(prompt)
        parts: tuple[Any, ...] = tuple(prompt)
    except (TypeError, ValueError) as problem:
        raise SettingsError("prompt", prompt, f"{_PROMPT} ({problem})") from problem
    if not all(isinstance(part, (str, Part)) for part in parts):
        raise SettingsError("prompt", prompt, _PROMPT)
    return user(parts)


def _history(call: Call, tools: Mapping[str, Tool], instructions: str) -> tuple[Message, ...]:
    found = closed(_said(place, item) for place, item in enumerate(call.history))
    for place, message in enumerate(found):
        if instructions and message.role == "system":
            raise InvalidTranscript(place, "instructions, and the agent has its own: leave out one of them")
    return hiding(found, {name: tool.redact for name, tool in tools.items() if tool.redact})


def _said(place: int, item: object) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping):
        raise InvalidTranscript(place, f"a {type(item).__name__} in a history: give messages, or mappings with a role")
    try:
        return read(item)
    except ValueError as problem:
        raise InvalidTranscript(place, str(problem)) from problem


def _record(spec: Spec, post: Post, prompt: Prompt | None, call: Call, limits: Limits) -> Run:
    told = None if prompt is None else message_of(prompt).plain()["content"]
    begins, tags = post.spec.name, tuple(dict.fromkeys((*spec.tags, *call.tags)))
    return run(
        call.name or spec.name, session=call.session, user=call.user, tenant=call.tenant, tags=tags,
        metadata={"agent": begins, "model": post.port.model, **spec.metadata, **call.metadata}, version=spec.version,
        environment=call.environment, platform=call.platform, agent_type=begins, refs=call.refs, input=told,
        traceparent=call.traceparent, execution_id=call.execution_id, below=call.below, limits=limits,
    )  # fmt: skip
