"""Records the corpus into every place that recorded text can have: by the recorder, by an agent, and as events.

A recording uses each text somewhere and puts a text into each place; the next recording moves all texts on, so that a
place meets several. What a program may not say through the recorder (a stop reason of its own, a kind of event nobody
knows) comes as events, as the API takes them from strangers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from tachograph import LLMCall, Session, ToolCall, Usage, compose, run, step
from tachograph.agent.agent import Agent
from tachograph.agent.tools.tool import Tool
from tachograph.compose import System, admitter_for, scrubber_for
from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score, Unknown
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.record import scope
from tachograph.record.clock import SYSTEM
from tachograph.server.callers import keys
from tachograph.settings import Settings
from tachograph.store.sqlite.store import SqliteStore
from tests.browser.every.texts import TEXTS


class Told(Struct, frozen=True):
    """A run, and what was said in it: place → text."""

    run: str
    said: dict[str, str]


class Places:
    """Gives out texts, a next one to each place, and remembers who got which."""

    def __init__(self, first: int) -> None:
        texts = list(TEXTS.values())
        self._texts = itertools.cycle(texts[first:] + texts[:first])
        self.said: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        """The text of a place."""
        return self.said.setdefault(place, next(self._texts))


def record(home: Path, url: str, times: int) -> list[Told]:
    """All of it, so many times, with the texts moved on each time."""
    places = range(0, len(TEXTS), max(1, len(TEXTS) // times))
    told = []
    for first in list(places)[:times]:
        system = System(Settings(home=home, store=url))
        before = scope.use(lambda system=system: system.recorder)  # type: ignore[misc]
        try:
            with compose.using(system):
                told.append(_by_recorder(Places(first)))
                _by_agent(Places(first + 5))
            assert system.worker.flush()
        finally:
            scope.use(before)
            system.close()
        told.append(_by_events(home, url, first))
    _keys(url)
    return told


def _by_recorder(text: Places) -> Told:
    refs = {name: text(name) for name in ("report_id", "completion_id", "widget_id", "step_id")}
    started = run(
        text("run name"), session=text("session"), user=text("user"), tags=[text("tag"), text("other tag")],
        metadata={text("metadata name"): text("metadata")}, version=text("version"), environment=text("environment"),
        platform=text("platform"), agent_type=text("agent"), action_type=text("action"), refs=refs,
        input={text("input name"): [text("input"), {"deep": text("deep input")}]}, execution_id=text("execution id"),
    )  # fmt: skip
    with started as made:
        about = {"about": text("step metadata")}
        with step(text("step name"), kind="plan", input=text("step input"), metadata=about) as plan:
            plan.output = text("step output")
            plan.note(text("note"), {text("note name"): text("note data")})
            plan.score(text("score"), 0.5, label=text("label"), comment=text("comment"), author=text("author"))
        _calls(text)
        _tools(text)
        made.output = {"answer": text("run output")}
        made.fail(Mishap(text("run error")))
    assert made.run_id is not None
    return Told(made.run_id, text.said)


class Mishap(Exception):
    """An error whose words somebody else chose."""


def _calls(text: Places) -> None:
    messages = [
        {"role": "system", "content": text("system prompt")},
        {"role": "user", "name": text("name of a user"), "content": [
            {"type": "text", "text": text("part")},
            {"type": "image_url", "image_url": {"url": text("image address")}},
            {"type": text("kind of a part"), "anything": text("part of no kind")},
        ]},
        {"role": text("role"), "content": text("message of a role")},
        {"role": "tool", "tool_call_id": text("tool call id"), "content": text("tool message")},
    ]  # fmt: skip
    tools = [{"type": "function", "function": {"name": text("offered tool"), "description": text("description")}}]
    call = LLMCall(
        text("model"), messages, text("provider"), tools=tools, params={"stop": text("parameter")}, streaming=True,
        tier=text("tier"), purpose=text("purpose"), metadata={"why": text("call metadata")},
        reminders=[{"role": "system", "content": text("reminder")}],
    )  # fmt: skip
    with step(call) as asked:
        asked.add("a")
        function = {"name": text("wanted tool"), "arguments": text("broken arguments")}
        asked.reply = {"role": "assistant", "content": text("reply"), "reasoning_content": text("thoughts"),
                       "tool_calls": [{"id": text("call id"), "type": "function", "function": function}]}  # fmt: skip
        asked.usage = Usage(input_uncached=10, output=5, basis="provider", extra={text("token class"): 3})
        asked.finish_reason, asked.served_model, asked.served_tier = text("finish"), text("served"), text("served tier")
        asked.response_id, asked.request_id = text("response id"), text("request id")
    with step(LLMCall("gpt-4o-mini", [{"role": "user", "content": "again"}], "openai")) as asked:
        asked.http_status = 500
        asked.fail(Mishap(text("call error")))


def _tools(text: Places) -> None:
    with step(ToolCall(text("tool"), {text("argument name"): text("argument")}, text("tool id"))) as used:
        used.output = {text("result name"): text("result")}
    with step(ToolCall(text("failing tool"), text("argument as text"), classification="write")) as used:
        used.fail(Mishap(text("tool error")))
    with step(ToolCall(text("refused tool"), {"a": [text("argument in a list")]})) as used:
        used.reject(text("reason to reject"))
    with step(ToolCall(text("skipped tool"))) as used:
        used.skip(text("reason to skip"))


def _by_agent(text: Places) -> None:
    """A session that has a head, with a state of its own."""
    name = text("tool of an agent")
    reply = Say(text("thoughts of an agent"), calls=(Call("look", {"at": name}),))
    model = ScriptedModel([reply, text("answer")], name=text("scripted model"), provider=text("scripted provider"))
    agent = Agent(name="teller", model=model, instructions=text("instructions"), tools=[Tool.of(look)])
    Session(text("session with a head"), user=text("user of a session")).ask_sync(
        agent, text("question"), state={text("name in a state"): text("state")}
    )


def look(at: str) -> str:
    """Looks at something, and says that it has."""
    return at


def _keys(url: str) -> None:
    """Keys and tenants, which the system page lists."""
    store = SqliteStore(Path(url.removeprefix("sqlite:")))
    for number, text in enumerate(TEXTS.values()):
        if text.strip():
            entropy = Random(number).randbytes
            keys.mint(store, text[:200], "read", text[:200], now_ns=SYSTEM.now(), entropy=entropy)
    store.close()


# --- events of strangers ---


def _by_events(home: Path, url: str, first: int) -> Told:
    """A run whose every text is one of the corpus, as any client may send it."""
    text, at = Places(first + 11), SYSTEM.now()
    name = ids.run_id(at, first.to_bytes(6, "big"))
    started: list[tuple[int | None, Any]] = [
        (0, _filled(RunStarted, text, tenant="default", parent_run=None, parent_step=None, source="")),
        (0, _filled(MessageAppended, text, parent=None)),
        (None, _filled(StepStarted, text, parent=0, kind="custom")),
        (2, _filled(StepEnded, text, status="failed")),
        (None, _filled(CallStarted, text, parent=0, input=1, retry_of=None, reserved=None)),
        (4, _filled(CallEnded, text, status="failed", output=None, timeline=None, cost=None)),
        (None, _filled(ToolStarted, text, parent=0, requested_by=4)),
        (6, _filled(ToolEnded, text, state="failed", message=None)),
        (0, _filled(LimitHit, text, mode="stop", evidence=(6,))),
        (6, _filled(LimitHit, text, mode="block", scope="session", evidence=(4, 6), refused_kind="tool")),
        (0, _filled(Note, text)),
        (0, _filled(Score, text, target=0, kind="rule")),
        (0, Unknown(text("kind of event"), {text("unknown field"): text("unknown value")})),
        (0, _filled(RunEnded, text, status="failed", discarded=False)),
    ]
    events = [
        Event(name, seq, at + seq * 1_000_000, seq * 1_000_000, seq if of is None else of, body)
        for seq, (of, body) in enumerate(started)
    ]
    settings = Settings(home=home, store=url)
    store = SqliteStore(Path(url.removeprefix("sqlite:")))
    store.append(admitter_for(settings, store, scrubber_for(settings)).admit(events, scrubbed=False))
    store.close()
    return Told(name, text.said)


def _filled(kind: type[Struct], text: Places, /, **fixed: Any) -> Any:
    """A body with a text in every field that takes one."""
    hints = get_type_hints(kind)
    fields = {
        field.name: _value(f"{kind.__name__}.{field.name}", hints[field.name], text)
        for field in msgspec.structs.fields(kind)
        if field.name not in fixed
    }
    return kind(**{name: value for name, value in fields.items() if value is not None}, **fixed)


def _value(place: str, hint: Any, text: Places) -> Any:
    kinds = set(_kinds(hint))
    if Content in kinds:
        inside = {text(f"{place} name"): [text(f"{place} in a list")]}
        value = {"role": text(f"{place} role"), "content": text(place), **inside}
        return inline(msgspec.json.encode(value).decode())
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Struct):
            return _filled(kind, text) if kind.__name__ == "Failure" else None
    if str in kinds:
        return text(place)
    origin = get_origin(hint) or next((get_origin(kind) for kind in kinds if get_origin(kind)), None)
    return (text(place),) if origin is tuple else None


def _kinds(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in {Union, UnionType}:
        for each in get_args(hint):
            yield from _kinds(each)
    elif hint is not NoneType and get_origin(hint) is not Literal:
        yield hint
