"""The steps of a run as a flat sequence, parents first, each with its depth and what it adds up to.

Flat, so that a run of any depth can be shown or encoded without recursion. Steps of runs that this one started hang
below the step that started them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.run import Failure, RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold import repeats, transcript, tree
from tachograph.fold.steps import closes
from tachograph.queries.events import fetch_texts, text_of


class Repeated(Struct, frozen=True):
    """This tool call was made more than once: the same tool with the same arguments."""

    count: int
    """How often in its run."""
    nth: int
    """Which of them this is, from 1."""
    results: int
    """How many different results they had: 1 means that each was told the same."""


class Below(Struct, frozen=True):
    """What a step and everything below it add up to, runs it started included."""

    llm_calls: int = 0
    """Attempts."""
    tool_calls: int = 0
    input: int = 0
    """Input tokens of all classes, as far as somebody counted."""
    output: int = 0
    usage_missing: int = 0
    cost: int = 0
    """Nano-USD of all attempts that have a price."""
    unpriced: int = 0
    """Ended attempts without a price: the cost is a lower bound while this is not 0."""

    def __add__(self, other: Below) -> Below:
        """Both together."""
        return Below(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of the tree. Fields that do not fit its kind are None."""

    run: str
    step: int
    id: str
    depth: int
    """0 for the run itself."""
    kind: str
    name: str
    """For a model call its model."""
    status: str
    """`started` while it is open; for a tool call its state."""
    stop_reason: str = ""
    """Of a run."""
    agent: str | None = None
    iteration: int | None = None
    at: int | None = None
    """UTC ns; None when its start was lost."""
    begin_ns: int = 0
    """Since the start of the run that is shown."""
    duration_ns: int | None = None
    """None while it is open."""
    error: Failure | None = None
    reason: str | None = None
    """Why a tool call was rejected or skipped."""
    orphan: bool = False
    """Its parent, or its own start, is not there."""
    provider: str | None = None
    attempt: int | None = None
    retry_of: int | None = None
    finish_reason: str | None = None
    first_token_ns: int | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    reported_cost: int | None = None
    repeat: Repeated | None = None
    input: str | None = None
    """Beginning of a step's input or a tool's arguments, as JSON text."""
    output: str | None = None
    """Beginning of a step's output or a tool's result, as JSON text."""
    below: Below = Below()


@dataclass(frozen=True)
class Recorded:
    """A run's events and what the folds make of them."""

    events: Sequence[Event]
    tree: tree.RunTree
    repeats: repeats.Repeats
    messages: Mapping[int, transcript.Message]


def recorded(events: Sequence[Event], fetch: transcript.Fetch) -> Recorded:
    """The folds of one run's events."""
    return Recorded(events, tree.grow(events), repeats.find(events, fetch), transcript.collect(events).messages)


def steps(root: str, runs: Mapping[str, Recorded], fetch: transcript.Fetch, preview: int) -> Iterator[Step]:
    """Steps of the run `root` and of all runs below it; `preview` characters of each content, 0 for none.

    Joins the trees of `runs` (by `tree.forest`): use them for one answer only.
    """
    tree.forest(each.tree for each in runs.values())
    for each in runs.values():
        for node in each.tree.nodes.values():
            node.children.sort(key=lambda child: (child.at or 0, child.run, child.step))
    walked = list(runs[root].tree.root.walk())
    marks = {run: _marks(each.repeats) for run, each in runs.items()}
    begins = _begins(root, runs)
    contents = [_contents(node, runs[node.run].messages) if preview else (None, None) for _, node in walked]
    texts = fetch_texts((content for pair in contents for content in pair), fetch)
    for (depth, node), below, (taken, given) in zip(walked, _sums(walked), contents, strict=True):
        yield Step(
            run=node.run,
            step=node.step,
            id=ids.step_id(node.run, node.step),
            depth=depth,
            kind=node.kind,
            name=node.name,
            status=node.status,
            at=node.at,
            begin_ns=begins[node.run, node.step],
            duration_ns=node.duration_ns,
            error=node.error,
            orphan=node.orphan,
            usage=node.usage,
            cost=node.cost,
            repeat=marks[node.run].get(node.step),
            input=_preview(taken, texts, preview),
            output=_preview(given, texts, preview),
            below=below,
            **_start_facts(node),
            **_end_facts(node),
        )


def _marks(found: repeats.Repeats) -> dict[int, Repeated]:
    return {
        step: Repeated(each.count, nth, each.results)
        for each in found.repeated
        for nth, step in enumerate(each.steps, 1)
    }


def _begins(root: str, runs: Mapping[str, Recorded]) -> dict[tuple[str, int], int]:
    """When each step began, ns since the run `root` did; other runs are placed by the wall clock."""
    origin = runs[root].tree.root.at or 0
    found: dict[tuple[str, int], int] = {}
    for run, each in runs.items():
        offset = max(0, (each.tree.root.at or origin) - origin)
        found.update({(run, step): offset + span.begin for step, span in each.tree.spans().items()})
    return found


def _sums(walked: Sequence[tuple[int, tree.Node]]) -> list[Below]:
    """What each node and everything below it adds up to, in the order given (parents first)."""
    sums = [_own(node) for _, node in walked]
    above: list[int] = []
    parents: list[int | None] = []
    for place, (depth, _) in enumerate(walked):
        del above[depth:]
        parents.append(above[-1] if above else None)
        above.append(place)
    for place in range(len(walked) - 1, 0, -1):
        parent = parents[place]
        if parent is not None:
            sums[parent] += sums[place]
    return sums


def _own(node: tree.Node) -> Below:
    """What the step itself adds. Money of ends that belong to no step was spent too: it stands with the run."""
    lost = {
        event.step: event.body
        for event in reversed(node.asides)
        if isinstance(event.body, CallEnded) and closes(event) is None
    }
    own = sum((_spent(body.usage, body.cost) for body in lost.values()), Below())
    if node.kind == "tool":
        return own + Below(tool_calls=1)
    if node.kind == "llm":
        return own + (Below(llm_calls=1) if node.usage is None else _spent(node.usage, node.cost))
    return own


def _spent(usage: Usage, cost: Cost | None) -> Below:
    """One attempt that has ended."""
    total = None if cost is None or cost.state == "unpriced" else cost.total
    return Below(
        llm_calls=1,
        input=usage.input_total or 0,
        output=usage.output or 0,
        usage_missing=int(usage.basis == "missing"),
        cost=total or 0,
        unpriced=int(total is None),
    )


def _start_facts(node: tree.Node) -> dict[str, Any]:
    match node.opening:
        case CallStarted() as body:
            return {
                "agent": body.agent_type,
                "iteration": body.iteration,
                "provider": body.provider,
                "attempt": body.attempt,
                "retry_of": body.retry_of,
            }
        case StepStarted() | ToolStarted() as body:
            return {"agent": body.agent_type, "iteration": body.iteration}
        case RunStarted() as body:
            return {"agent": body.agent_type}
    return {}


def _end_facts(node: tree.Node) -> dict[str, Any]:
    match node.closing:
        case CallEnded() as body:
            return {
                "finish_reason": body.finish_reason,
                "first_token_ns": body.first_token_ns,
                "reported_cost": body.reported_cost,
            }
        case ToolEnded() as body:
            return {"reason": body.reason}
        case RunEnded() as body:
            return {"stop_reason": body.stop_reason}
    return {}


def _contents(node: tree.Node, messages: Mapping[int, transcript.Message]) -> tuple[Content | None, Content | None]:
    """What went into a step and what came out of it; a tool's result may stand in the transcript only."""
    opening, closing = node.opening, node.closing
    given = opening.arguments if isinstance(opening, ToolStarted) else getattr(opening, "input", None)
    result: Content | None = None
    if isinstance(closing, RunEnded | StepEnded):
        result = closing.output
    elif isinstance(closing, ToolEnded):
        result = closing.result
        if result is not None and result.level == "message" and closing.message is not None:
            message = messages.get(closing.message)
            result = result if message is None else message.content
    return given if isinstance(given, Content) else None, result


def _preview(content: Content | None, texts: Mapping[bytes, bytes], length: int) -> str | None:
    text = None if content is None else text_of(content, texts)
    return text if text is None or len(text) <= length else text[:length] + "…"
