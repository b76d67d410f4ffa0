"""Recorded runs as the spans that OpenTelemetry and Langfuse know: one root, agents, generations, tools.

    llm.captain_v2
      .agent.ana_bot
        .generation                 the only place with a model and its usage: sums count them once
        .tool.faq_lookup
      .agent.daniela                after a hand-off, which is an event of the root

Runs inside a tool hang below its span. Times are those of the record, on one clock, and children lie inside parents. A
run that is read from a store gives the same spans as it did when it happened. Pure: otel.py brings them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.agent.runner.attributes import generation, known, person, root, tool
from tachograph.agent.runner.history import slug
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost
from tachograph.fold import transcript
from tachograph.fold.handoffs import PERSON, handing_of
from tachograph.fold.tree import Node, RunTree, forest

MARKED = ("handoff", "guardrail", "compaction")
"""Kinds of steps that are events of the root."""
Value = Callable[[Content | None], Any]
"""What a content says; None where it says nothing, or was not kept."""
Priced = Callable[[CallStarted, CallEnded, int], Cost | None]
"""What a call costs that ended then (UTC ns), where the record does not say so yet."""


class Naming(Struct, frozen=True, kw_only=True):
    """How a trace is called, and what goes with it."""

    name: str = "llm.captain_v2"
    tags: tuple[str, ...] = ("captain_v2",)
    attributes: Mapping[str, Any] = {}
    """Of the root span, beside its own."""
    content: bool = False
    """Whether what was said goes with it, as it was recorded: prompts, replies, arguments, results."""


class Mark(Struct, frozen=True):
    """Something that happened at one moment of a span."""

    name: str
    at: int
    attributes: Mapping[str, Any] = {}


class Span(Struct, frozen=True, kw_only=True):
    """One span. Times are UTC nanoseconds."""

    name: str
    begin: int
    end: int
    attributes: Mapping[str, Any] = {}
    marks: tuple[Mark, ...] = ()
    error: str = ""
    """Class of what it failed by; empty when it did not."""
    children: tuple[Span, ...] = ()

    def walk(self) -> Iterator[Span]:
        """This span and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


def spans(
    events: Iterable[Event], naming: Naming, value: Value | None = None, priced: Priced | None = None
) -> list[Span]:  # fmt: skip
    """One root span for each run of these events that hangs below no other. `value` reads contents kept elsewhere."""
    trees: dict[str, RunTree] = {}
    said: dict[str, transcript.Transcripts] = {}
    for event in events:
        trees.setdefault(event.run, RunTree()).apply(event)
        if naming.content:
            said.setdefault(event.run, transcript.Transcripts()).apply(event)
    drawing = _Drawing(naming, value or inline, priced or _unpriced, trees, said)
    return [drawing.root(tree) for tree in forest(trees.values()) if tree.started is not None]


def inline(content: Content | None) -> Any:
    """What a content says that carries its own text."""
    if content is None or content.text is None:
        return None
    try:
        return msgspec.json.decode(content.text)
    except msgspec.DecodeError:
        return None


def _unpriced(asked: CallStarted, ended: CallEnded, at: int) -> None:
    """Nobody knows what it costs."""


class _Drawing:
    """Draws the spans of runs that belong together."""

    def __init__(
        self, naming: Naming, value: Value, priced: Priced, trees: Mapping[str, RunTree],
        said: Mapping[str, transcript.Transcripts],
    ) -> None:  # fmt: skip
        self.naming, self.value, self.priced, self.trees, self.said = naming, value, priced, trees, said
        self.places = {run: tree.spans() for run, tree in trees.items()}

    def root(self, tree: RunTree) -> Span:
        node, naming = tree.root, self.naming
        begin, end = self._times(node)
        started, ended = tree.started, node.closing if isinstance(node.closing, RunEnded) else None
        assert started is not None
        found = root(naming.name, naming.tags, started, self.value(started.metadata), ended) | known(naming.attributes)
        if naming.content:
            found |= known({
                "langfuse.trace.input": self._shown(started.input),
                "langfuse.trace.output": None if ended is None else self._shown(ended.output),
            })  # fmt: skip
        failed = ended is None or ended.status != "completed"
        return Span(
            name=naming.name, begin=begin, end=end, attributes=found, marks=tuple(self._marks(tree)),
            error=(ended.stop_reason or ended.status if ended is not None else "unfinished") if failed else "",
            children=tuple(self._segments(node)),
        )  # fmt: skip

    def _segments(self, run: Node) -> Iterator[Span]:
        """What one agent after the other did in a run; the spans of each below it."""
        at_work, name = list[Node](), ""
        for node in _parts(run):
            who = _agent_of(node) or name or _agent_of(run) or run.name
            if at_work and who != name:
                yield self._agent(name, at_work)
                at_work = []
            name = who
            at_work.append(node)
        if at_work:
            yield self._agent(name, at_work)

    def _agent(self, name: str, nodes: list[Node]) -> Span:
        times = [self._times(node) for node in nodes]
        begin, end = min(first for first, _ in times), max(last for _, last in times)
        return Span(
            name=f"{self.naming.name}.agent.{name}", begin=begin, end=end,
            attributes={"agent.name": name, "gen_ai.agent.name": name, "gen_ai.operation.name": "invoke_agent"},
            children=tuple(span for node in nodes for span in self._below(node)),
        )  # fmt: skip

    def _below(self, node: Node) -> Iterator[Span]:
        """The spans of a step: its own, or, where it has none, those of what is below it."""
        match node.opening:
            case CallStarted() as started:
                yield self._generation(node, started)
            case ToolStarted() as started:
                yield self._tool(node, started)
            case RunStarted():
                yield from self._segments(node)
            case _:
                for child in node.children:
                    yield from self._below(child)

    def _generation(self, node: Node, started: CallStarted) -> Span:
        ended = node.closing if isinstance(node.closing, CallEnded) else None
        session = self._session(node)
        cost = node.cost
        if cost is None and ended is not None and node.end is not None:
            cost = self.priced(started, ended, node.end.at)
        found = generation(started, ended, node.usage, cost, session)
        if self.naming.content:
            found |= known({
                "langfuse.observation.input": self._path(node.run, started.input, None),
                "langfuse.observation.output": self._path(
                    node.run, None if ended is None else ended.output, started.input
                ),
            })  # fmt: skip
        return self._span(node, f"{self.naming.name}.generation", found, ok=node.status == "completed")

    def _tool(self, node: Node, started: ToolStarted) -> Span:
        ended = node.closing if isinstance(node.closing, ToolEnded) else None
        found = tool(started, ended)
        if self.naming.content:
            found |= known({
                "langfuse.observation.input": self._shown(started.arguments),
                "langfuse.observation.output": None if ended is None else self._shown(ended.result),
            })  # fmt: skip
        return self._span(node, f"{self.naming.name}.tool.{started.name}", found, ok=node.status == "completed")

    def _span(self, node: Node, name: str, attributes: Mapping[str, Any], *, ok: bool) -> Span:
        begin, end = self._times(node)
        children = tuple(span for child in node.children for span in self._below(child))
        error = "" if ok else (node.error.type if node.error is not None and node.error.type else node.status)
        return Span(name=name, begin=begin, end=end, attributes=attributes, error=error, children=children)

    # ---- what happened at one moment --------------------------------------------------------------------------------

    def _marks(self, tree: RunTree) -> Iterator[Mark]:
        for _, node in tree.root.walk():
            if node.run != tree.run:
                continue
            body = node.opening
            if isinstance(body, StepStarted) and body.kind in MARKED and body.action_type != PERSON:
                yield self._mark(body.kind, node.at or 0, self._of_step(body))
            for event in node.asides:
                found = self._of_aside(event)
                if found is not None:
                    yield self._mark(found[0], event.at, found[1])

    def _mark(self, kind: str, at: int, attributes: Mapping[str, Any]) -> Mark:
        return Mark(f"{self.naming.name}.{kind}", at, known(attributes))

    def _of_step(self, body: StepStarted) -> Mapping[str, Any]:
        said = self.value(body.input)
        facts = said if isinstance(said, Mapping) else {}
        if body.kind != "handoff":
            return {f"{body.kind}.name": body.name}
        before, after = (slug(str(facts.get(name) or "")) for name in ("from", "to"))
        return {"handoff.from": before, "handoff.to": after, "handoff.reason": facts.get("reason")}

    def _of_aside(self, event: Event) -> tuple[str, Mapping[str, Any]] | None:
        match event.body:
            case LimitHit(metric=metric, mode=mode, used=used, threshold=threshold):
                facts = {"metric": metric, "mode": mode, "used": used, "threshold": threshold}
                return "limit", {f"limit.{name}": fact for name, fact in facts.items()}
            case Note(name="llm_retry_attempt", data=data):
                said = self.value(data)
                facts = said if isinstance(said, dict) else {}
                return "retry", {f"retry.{name}": facts.get(name) for name in ("attempt", "category", "delay")}
            case Note(name=("handoff_applied" | "handoff_failed") as name, data=data):
                handing = handing_of(name, self.value(data))
                return None if handing is None else ("handoff", person(handing))
        return None

    # ---- small things -----------------------------------------------------------------------------------------------

    def _times(self, node: Node) -> tuple[int, int]:
        origin = self.trees[node.run].root.at or 0
        place = self.places[node.run].get(node.step)
        if place is None:
            return origin, origin
        return origin + place.begin, origin + place.end

    def _session(self, node: Node) -> str | None:
        started = self.trees[node.run].started
        return None if started is None else started.session

    def _shown(self, content: Content | None) -> str | None:
        found = self.value(content)
        return found if isinstance(found, str) or found is None else json.dumps(found, ensure_ascii=False)

    def _path(self, run: str, node: int | None, behind: int | None) -> str | None:
        """The messages up to a node, those behind another one alone."""
        told = self.said[run]
        try:
            before = {message.node for message in told.path(behind)}
            messages = [self.value(one.content) for one in told.path(node) if one.node not in before]
        except KeyError:  # damaged: what is left of the run has its spans all the same
            return None
        return json.dumps(messages, ensure_ascii=False) if messages else None


def _parts(run: Node) -> Iterator[Node]:
    """The steps that agents did in a run: its children, for a part that is a step of its own those of that."""
    for node in run.children:
        if node.kind == "agent":
            yield from node.children
        elif any(isinstance(one.opening, CallStarted | ToolStarted) for _, one in node.walk()):
            yield node


def _agent_of(node: Node) -> str:
    name = str(getattr(node.opening, "agent_type", None) or "")
    return slug(name) or name
