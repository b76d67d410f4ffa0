"""Is this a run? What every stream of events must hold, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tachograph.events import codec, ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted, stop_reason_allowed
from tachograph.events.tool import ToolEnded, ToolStarted

_STARTS = (RunStarted, StepStarted, CallStarted, ToolStarted)
_ENDS: dict[type, type] = {RunEnded: RunStarted, StepEnded: StepStarted, CallEnded: CallStarted, ToolEnded: ToolStarted}


def faults(events: Sequence[Event]) -> list[str]:
    """What is wrong with the events of one run; empty when it is sound."""
    return [*_order(events), *_brackets(events), *_links(events), *_contents(events)]


def _order(events: Sequence[Event]) -> Iterator[str]:
    if not events or not isinstance(events[0].body, RunStarted):
        yield "does not begin with RunStarted"
        return
    run, began = events[0].run, events[0].at
    body = events[0].body
    if body.execution_id != ids.execution_id(began, run):
        yield f"execution id {body.execution_id} is not that of the run"
    for place, event in enumerate(events):
        if event.seq != place or event.run != run:
            yield f"event {place} is numbered {event.seq} of {event.run}"
        if event.mono != event.at - began or event.mono < 0:
            yield f"event {place} is at {event.at}, {event.mono} after the start at {began}"
        if codec.decode(codec.encode(event)) != event:
            yield f"event {place} does not survive the codec"
    kinds = [type(event.body) for event in events]
    if kinds.count(RunStarted) != 1 or kinds.count(RunEnded) != 1:
        yield "not exactly one start and one end of the run"
    elif not set(kinds[kinds.index(RunEnded) + 1 :]) <= {Note, Score}:
        yield f"after the end: {kinds[kinds.index(RunEnded) + 1 :]}"


def _brackets(events: Sequence[Event]) -> Iterator[str]:
    open_steps: dict[int, Event] = {}
    for event in events:
        body = event.body
        if isinstance(body, _STARTS):
            open_steps[event.seq] = event
            if event.step != event.seq:
                yield f"start {event.seq} names step {event.step}"
        elif (wanted := _ENDS.get(type(body))) is not None:
            start = open_steps.pop(event.step, None)
            if start is None or type(start.body) is not wanted:
                yield f"end {event.seq} closes step {event.step}, which is not open"
            elif event.at < start.at:
                yield f"step {event.step} ends before it starts"
        elif not 0 <= event.step < event.seq or not isinstance(events[event.step].body, _STARTS):
            yield f"event {event.seq} belongs to step {event.step}, which has not started"
        if isinstance(body, RunEnded) and not stop_reason_allowed(body.status, body.stop_reason):
            yield f"{body.status} because of {body.stop_reason}"
    yield from (f"step {step} never ends" for step in open_steps)


def _links(events: Sequence[Event]) -> Iterator[str]:
    for event in events:
        body = event.body
        wanted: list[tuple[int | None, type]] = []
        match body:
            case StepStarted() | CallStarted() | ToolStarted() if not 0 <= body.parent < event.seq:
                yield f"parent {body.parent} of {event.seq} is not before it"
            case MessageAppended():
                wanted.append((body.parent, MessageAppended))
            case CallEnded():
                wanted.append((body.output, MessageAppended))
            case ToolEnded():
                wanted.append((body.message, MessageAppended))
        if isinstance(body, CallStarted):
            wanted += [(body.input, MessageAppended), (body.retry_of, CallStarted)]
        if isinstance(body, ToolStarted):
            wanted.append((body.requested_by, CallStarted))
        for seq, kind in wanted:
            if seq is not None and not (0 <= seq < event.seq and isinstance(events[seq].body, kind)):
                yield f"event {event.seq} names {seq} as {kind.__name__}"


def _contents(events: Sequence[Event]) -> Iterator[str]:
    for event in events:
        for name in event.body.__struct_fields__:
            content = getattr(event.body, name)
            if not isinstance(content, Content) or content.text is None:
                continue
            if content.size != len(content.text.encode()):
                yield f"{name} of {event.seq} has {content.size} bytes, not {len(content.text.encode())}"
            try:
                msgspec.json.decode(content.text)
            except (msgspec.DecodeError, RecursionError) as fault:
                if "out of range" not in str(fault):
                    yield f"{name} of {event.seq} is no JSON: {fault}"
