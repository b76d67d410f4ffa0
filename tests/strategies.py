"""Event streams for tests: `Tape` writes one by hand, the strategies draw any.

`runs()` draws what a sound recorder writes; `broken_runs()` what a reader may meet after damage. Both shrink well: a
stream is interpreted from a list of small numbers, so Hypothesis removes whole events first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec
from hypothesis import strategies as st

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted, Timeline
from tachograph.events.codec import BODY_TYPES
from tachograph.events.content import Content, digest, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, StepEnded, StepKind, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted, ToolState
from tachograph.events.usage import Cost, Usage

BEGAN = 1_750_000_000_000_000_000
"""When tapes begin unless told otherwise, UTC nanoseconds."""

TOOLS = ("search", "read_file", "pay")
MODELS = (("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"))
PLAIN_KINDS = tuple(kind for kind in get_args(StepKind) if kind not in ("run", "llm", "tool"))
TOOL_STATES: tuple[ToolState, ...] = get_args(ToolState)
ENDINGS: tuple[Literal["completed", "failed", "cancelled", "abandoned"], ...] = (
    "completed", "failed", "cancelled", "abandoned",
)  # fmt: skip


def stored(content: Content) -> Content:
    """The same content by hash, as the store gives it back when it is large."""
    assert content.text is not None
    return msgspec.structs.replace(content, text=None, hash=digest(content.text.encode()).hex())


class Tape:
    """Writes one run's events by hand: seq counted, one millisecond between events unless `wait` is called."""

    def __init__(self, source: str = "tape", at: int = BEGAN, mono: int = 5_000_000_000, tick: int = 1_000_000) -> None:
        self.run = ids.run_id_for(source, at)
        self.events: list[Event] = []
        self.at, self.mono, self.tick = at, mono, tick

    def wait(self, ns: int) -> Tape:
        """Let time pass before the next event (negative: the clocks step back)."""
        self.at, self.mono = self.at + ns, self.mono + ns
        return self

    def add(self, body: Body, step: int = 0) -> int:
        """Append one event; returns its seq."""
        seq = len(self.events)
        self.events.append(Event(self.run, seq, self.at, self.mono, step, body))
        self.wait(self.tick)
        return seq

    def start(self, body: Body) -> int:
        """Append a start event, which names its own step."""
        return self.add(body, len(self.events))

    def begin(self, name: str = "desk", **facts: Any) -> int:
        """The run begins: event 0."""
        return self.start(RunStarted(name=name, execution_id=ids.execution_id(self.at, self.run), **facts))

    def finish(self, status: Any = "completed", **facts: Any) -> int:
        """The run ends."""
        return self.add(RunEnded(status=status, **facts))

    def resume(self, owner: str = "another", epoch: int = 1, **facts: Any) -> int:
        """The run goes on, in another process."""
        return self.add(RunResumed(owner=owner, epoch=epoch, **facts))

    def step(self, name: str = "work", **facts: Any) -> int:
        """A plain step begins."""
        return self.start(StepStarted(name=name, **facts))

    def done(self, step: int, status: Any = "completed", **facts: Any) -> int:
        """A plain step ends."""
        return self.add(StepEnded(status=status, **facts), step)

    def call(self, provider: str = "openai", model: str = "gpt-4o", **facts: Any) -> int:
        """A model call begins."""
        return self.start(CallStarted(provider=provider, model=model, **facts))

    def reply(self, call: int, status: Any = "completed", **facts: Any) -> int:
        """A model call ends."""
        return self.add(CallEnded(status=status, **facts), call)

    def tool(self, name: str = "search", arguments: str | Content | None = None, **facts: Any) -> int:
        """A tool call begins; `arguments` is JSON text or a Content."""
        content = inline(arguments) if isinstance(arguments, str) else arguments
        return self.start(ToolStarted(name=name, arguments=content, **facts))

    def result(self, tool: int, result: str | Content | None = None, state: Any = "completed", **facts: Any) -> int:
        """A tool call ends; `result` is JSON text or a Content."""
        content = inline(result) if isinstance(result, str) else result
        return self.add(ToolEnded(state=state, result=content, **facts), tool)

    def say(self, role: str, message: Any, parent: int | None = None, *, by_hash: bool = False, step: int = 0) -> int:
        """A message joins a transcript; `message` is JSON text or a value to be encoded."""
        content = inline(message if isinstance(message, str) else msgspec.json.encode(message).decode())
        message = stored(content) if by_hash else content
        return self.add(MessageAppended(role=role, parent=parent, message=message), step)


# --- values ---

texts = st.text(st.characters(codec="utf-8"), max_size=12)
counts = st.integers(0, 2**40)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_texts = json_values.map(lambda value: msgspec.json.encode(value).decode())
contents = st.builds(inline, json_texts) | st.builds(inline, json_texts).map(stored) | st.just(Content(level="none"))
usages = st.builds(
    Usage,
    input_uncached=st.none() | counts,
    cache_read=st.none() | counts,
    cache_write=st.none() | counts,
    output=st.none() | counts,
    reasoning=st.none() | counts,
    basis=st.sampled_from(("provider", "estimated", "inferred")),
) | st.just(Usage())
costs = st.builds(
    Cost, state=st.sampled_from(("priced", "estimated", "reported")), total=counts, input=counts, output=counts
) | st.just(Cost(reason="no_price"))

_LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    str: texts, int: st.integers(-(2**63), 2**63 - 1), bool: st.booleans(), Any: json_values, type(None): st.none(),
    float: st.floats(allow_nan=False, allow_infinity=False), Content: contents, Usage: usages, Cost: costs,
}  # fmt: skip


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any value of an event struct: every optional field may be given or left out."""
    wanted: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        (wanted if field.required else optional)[field.encode_name] = _of_type(msgspec.inspect.type_info(field.type))
    return st.fixed_dictionaries(wanted, optional=optional).map(lambda facts: kind(**facts))


def _of_type(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.UnionType(types):
            return st.one_of(*map(_of_type, types))
        case msgspec.inspect.LiteralType(values):
            return st.sampled_from(values)
        case msgspec.inspect.VarTupleType(item):
            return st.lists(_of_type(item), max_size=3).map(tuple)
        case msgspec.inspect.DictType(key, value):
            return st.dictionaries(_of_type(key), _of_type(value), max_size=3)
        case msgspec.inspect.StructType(cls):
            return _LEAVES[cls] if cls in _LEAVES else structs(cls)
    return _LEAVES[_PLAIN[type(info)]]


_PLAIN: Mapping[type, Any] = {
    msgspec.inspect.StrType: str, msgspec.inspect.IntType: int, msgspec.inspect.BoolType: bool,
    msgspec.inspect.FloatType: float, msgspec.inspect.AnyType: Any, msgspec.inspect.NoneType: type(None),
}  # fmt: skip

unknown_bodies = st.builds(
    Unknown,
    type=texts.filter(lambda text: text not in BODY_TYPES),
    fields=st.dictionaries(texts.filter(lambda text: text != "type"), json_values, max_size=3),
)
bodies: st.SearchStrategy[Body] = st.one_of(*(structs(kind) for kind in BODY_TYPES.values()), unknown_bodies)
"""Any body of any type, with any values its fields may have."""


# --- streams of one run ---

_Pick = int
_Op = Callable[["_Player", _Pick], None]


class _Player:
    """Turns drawn numbers into events: each operation does what is possible at that point, or nothing."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.open: list[tuple[int, str]] = []
        self.calls: list[int] = []
        self.priced: list[int] = []
        self.tips: list[int] = []
        self.epoch = 0

    def parent(self) -> int:
        return self.open[-1][0] if self.open else 0

    def step(self, pick: _Pick) -> None:
        kind: Any = PLAIN_KINDS[pick % len(PLAIN_KINDS)]
        self.open.append((self.tape.step(f"{kind} {pick % 3}", kind=kind, parent=self.parent()), "step"))

    def call(self, pick: _Pick) -> None:
        provider, model = MODELS[pick % len(MODELS)]
        tip = self.tips[pick % len(self.tips)] if self.tips else None
        again = self.calls[-1] if self.calls and pick % 4 == 0 else None
        facts: dict[str, Any] = {"retry_of": again, "attempt": 2} if again else {}
        call = self.tape.call(provider, model, parent=self.parent(), input=tip, **facts)
        self.calls.append(call)
        self.open.append((call, "call"))

    def tool(self, pick: _Pick) -> None:
        asked_by = self.calls[pick % len(self.calls)] if self.calls else None
        arguments = f'{{"q":{pick % 2},"n":1}}' if pick % 3 else f'{{"n":1,"q":{pick % 2}}}'
        facts: dict[str, Any] = {"call_id": f"c{pick % 3}", "requested_by": asked_by, "parent": self.parent()}
        self.open.append((self.tape.tool(TOOLS[pick % len(TOOLS)], arguments, **facts), "tool"))

    def close(self, pick: _Pick) -> None:
        """Usually the innermost step ends; now and then one that still has open children."""
        if self.open:
            step, what = self.open.pop(pick % len(self.open) if pick % 5 == 0 else -1)
            {"step": self._end_step, "call": self._end_call, "tool": self._end_tool}[what](step, pick)

    def _end_step(self, step: int, pick: _Pick) -> None:
        status = ENDINGS[pick % len(ENDINGS)]
        self.tape.done(step, status, error=Failure("ValueError", "no") if status == "failed" else None)

    def _end_call(self, step: int, pick: _Pick) -> None:
        status = ENDINGS[pick % 7 % len(ENDINGS)]
        said = Usage(pick, pick % 5, None if pick % 2 else 7, pick % 11, basis="provider")
        usage = said if pick % 3 else Usage()
        cost = (None, Cost(), Cost("priced", input=pick, output=2, total=pick + 2), Cost("estimated", total=1))[
            pick % 4
        ]
        reported = pick if pick % 6 == 0 else None
        timeline = Timeline(1, (pick, 1)) if pick % 8 == 0 else None
        self.priced.append(step)
        self.tape.reply(step, status, usage=usage, cost=cost, reported_cost=reported, timeline=timeline)

    def _end_tool(self, step: int, pick: _Pick) -> None:
        self.tape.result(step, f'"{pick % 2}"', TOOL_STATES[pick % len(TOOL_STATES)])

    def message(self, pick: _Pick) -> None:
        role = ("user", "assistant", "tool")[pick % 3]
        parent = self.tips[pick % len(self.tips)] if self.tips and pick % 7 else None
        self.tips.append(self.tape.say(role, {"role": role, "content": str(pick % 4)}, parent, by_hash=pick % 2 == 0))

    def aside(self, pick: _Pick) -> None:
        """Everything that neither opens nor closes a step."""
        step = self.parent()
        content = Content(text="1", size=1, full_size=9, redacted={"secret": pick % 3}, marks=("nan",))
        choices: tuple[Body, ...] = (
            Note(name="remark", data=content),
            Score(name="reward", value=pick / 7, kind="benchmark", target=step),
            LimitHit(metric="llm_calls", mode="stop", used=pick, threshold=1, refused_kind="llm"),
            Loss(reason="journal_full", events=pick % 5, bytes=pick),
            Unknown("from_tomorrow", {"pick": pick, "parent": step}),
        )
        self.tape.add(choices[pick % len(choices)], step)

    def reprice(self, pick: _Pick) -> None:
        if self.priced:
            call = self.priced[pick % len(self.priced)]
            self.tape.add(CallRepriced(call=call, cost=Cost("priced", total=pick) if pick % 3 else Cost()))

    def meter(self, pick: _Pick) -> None:
        if self.priced:
            usage = Usage(pick % 13, None if pick % 2 else 3, 0, pick % 17, basis="provider") if pick % 4 else Usage()
            cost = Cost("priced", total=pick) if pick % 3 else None
            self.tape.add(CallMetered(call=self.priced[pick % len(self.priced)], usage=usage, cost=cost))

    def again(self, pick: _Pick) -> None:
        """Now and then the run ends, or waits for a person, and goes on in another process."""
        if pick % 3 == 0:
            self.finish(pick, pauses=pick % 2 == 0)
            self.epoch += 1
            limits = inline(f'"{pick} turns"') if pick % 4 else None
            self.tape.resume(f"journal {self.epoch}", self.epoch, by="ann" if pick % 5 else None, limits=limits)

    def finish(self, pick: _Pick, *, pauses: bool = False) -> None:
        while self.open:
            self.close(pick | 1)
        status: Any = "paused" if pauses else ENDINGS[pick % len(ENDINGS)]
        output = inline(f'"{pick}"') if status == "completed" else None
        self.tape.finish(status, error=Failure("Stopped") if status == "failed" else None, output=output)
        if pick % 2:
            self.reprice(pick)
        if pick % 3 == 0:
            self.meter(pick)


_OPS: tuple[_Op, ...] = (
    _Player.close, _Player.step, _Player.call, _Player.tool, _Player.close, _Player.message, _Player.aside,
    _Player.reprice, _Player.meter, _Player.again,
)  # fmt: skip


@st.composite
def runs(draw: st.DrawFn, *, ended: bool | None = None, max_size: int = 40) -> list[Event]:
    """The events of one sound run, in order; `ended` says whether it must have (True) or lack (False) its end."""
    source = draw(st.integers(0, 999))
    tape = Tape(f"run {source}", at=BEGAN + source * 1_000_000_000, mono=source * 1_000)
    tape.begin(session=draw(st.sampled_from((None, "s1"))), tags=("a",), input=inline('"hi"'))
    player = _Player(tape)
    moves = st.tuples(st.sampled_from(_OPS), st.integers(0, 10_000), st.integers(0, 2_000_000_000))
    least = min(max_size, draw(st.sampled_from((0, 8, 24))))
    for move, pick, pause in draw(st.lists(moves, min_size=least, max_size=max_size)):
        tape.wait(pause)
        move(player, pick)
    if draw(st.booleans()) if ended is None else ended:
        player.finish(draw(st.integers(0, 10_000)))
    return tape.events


@st.composite
def broken_runs(draw: st.DrawFn, *, max_size: int = 40) -> list[Event]:
    """A run as damage leaves it: events missing or doubled, clocks stepping back, parents and steps that are not."""
    events = draw(runs(max_size=max_size))
    damages = st.tuples(st.integers(0, max_size), st.integers(0, 4), st.integers(0, 60))
    for place, damage, number in draw(st.lists(damages, max_size=6)):
        if not events:
            break
        index = place % len(events)
        event = events[index]
        if damage == 0:
            del events[index]
        elif damage == 1:
            events.insert(index, event)
        elif damage == 2:
            back = number * 1_000_000_000
            events[index] = msgspec.structs.replace(event, at=event.at - back, mono=event.mono - back)
        elif damage == 3:
            events[index] = msgspec.structs.replace(event, step=number)
        elif hasattr(event.body, "parent"):
            events[index] = msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, parent=number))
    return events


any_runs = runs() | broken_runs()


@st.composite
def batches(draw: st.DrawFn, *, max_runs: int = 3) -> Sequence[Event]:
    """Sound runs interleaved as several writers would: in order within each run."""
    drawn = draw(st.lists(runs(max_size=15), max_size=max_runs, unique_by=_run_of))
    queues = [list(reversed(events)) for events in drawn]
    mixed: list[Event] = []
    while queues:
        index = draw(st.integers(0, len(queues) - 1))
        mixed.append(queues[index].pop())
        if not queues[index]:
            del queues[index]
    return mixed


def _run_of(events: Sequence[Event]) -> str:
    return events[0].run
