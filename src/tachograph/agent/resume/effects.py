"""Effects of which nobody knows whether they happened: tools that had begun when their process died.

What only reads, or may be repeated, is no effect. Of the others nobody can tell from the log how far they came, so a
person is asked before the run goes on, and none of them is ever made again by itself. One that was denied is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tachograph.agent.people.waiting import recorded_as
from tachograph.agent.resume.recording import Recording
from tachograph.agent.state import Told
from tachograph.agent.tools.tool import Tool
from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.approvals import DECIDED, REQUESTED, Approval, Decided, approval_of, decided_of
from tachograph.fold.handoffs import value_of
from tachograph.fold.transcript import Fetch, text_of

DIED = frozenset(("ProcessDied", "RunEnded"))
"""Types of the errors with which steps are closed that nobody ended: their process died, or their run was over."""


SLOT = "effect"
"""How the slots of these requests begin: `effect.<run>.<step>`."""
KIND = "effects"
"""Kind of what the model is told about them."""
_BEGAN = (
    "The process that worked on this died while the following was under way, and nobody knows how far it came. "
    "A person was asked:"
)  # fmt: skip


def unsettled(whole: Recording, tools: Mapping[str, Tool]) -> tuple[Approval, ...]:
    """What a person has yet to say: about effects that nobody was asked about, and those without a decision in time."""
    known = _requests(whole.events, whole.store.fetch)
    fresh = [effect for effect in unknown(whole, tools) if effect.slot not in known]
    return (*fresh, *(one for one in known.values() if one.decided is None))


def unknown(whole: Recording, tools: Mapping[str, Tool]) -> Iterator[Approval]:
    """Calls with effects of a run, and of the runs it began, that had begun and have no end of their own.

    `tools` are known to be repeatable or to have effects; one that is not among them may have any.
    """
    begun: dict[int, Approval] = {}
    for event in whole.events:
        body = event.body
        if isinstance(body, ToolStarted) and has_effects(body, tools.get(body.name)):
            begun[event.seq] = _request(whole, event, body)
        elif isinstance(body, ToolEnded) and not (body.error is not None and body.error.type in DIED):
            begun.pop(event.step, None)
    yield from begun.values()
    for child in whole.children():
        yield from unknown(child, tools)


def has_effects(started: ToolStarted, tool: Tool | None) -> bool:
    """Whether it may have done something. What another agent did is found in its own run."""
    if started.classification in ("read", "delegation"):
        return False
    return tool is None or tool.has_effects


def asked_about(events: Sequence[Event], fetch: Fetch) -> tuple[Told, ...]:
    """What the model is told of decisions that it was not told of yet."""
    told = max((event.seq for event in events if _is_told(event, fetch)), default=-1)
    decided = {
        one.slot for event in events if event.seq > told and (one := _decision(event, fetch)) is not None
    }  # fmt: skip
    known = _requests(events, fetch)
    ruled = [(one, one.decided) for one in known.values() if one.slot in decided and one.decided is not None]
    barred = tuple(one.arguments_hash for one, said in ruled if said.decision == "deny")
    words = (_BEGAN, *(_in_words(one, said) for one, said in ruled))
    return (Told(KIND, "\n".join(words), barred),) if ruled else ()


def _request(whole: Recording, event: Event, body: ToolStarted) -> Approval:
    text = None if body.arguments is None else text_of(body.arguments, whole.store.fetch)
    return Approval(
        slot=f"{SLOT}.{whole.run}.{event.seq}", call_id=body.call_id or "", tool=body.name,
        arguments_hash=recorded_as(body.name, text), arguments=_value(text), agent=body.agent_type or "",
        iteration=body.iteration or 0, at=event.at,
    )  # fmt: skip


def _requests(events: Iterable[Event], fetch: Fetch) -> dict[str, Approval]:
    """Effects that somebody was asked about, with what was decided first."""
    known: dict[str, Approval] = {}
    for event in events:
        if not isinstance(event.body, Note):
            continue
        if event.body.name == REQUESTED:
            asked = approval_of(value_of(event.body.data, fetch))
            if asked is not None and asked.slot.startswith(f"{SLOT}."):
                known.setdefault(asked.slot, asked)
        elif (said := _decision(event, fetch)) is not None:
            one = known.get(said.slot)
            if one is not None and one.decided is None and one.is_about(said):
                known[said.slot] = msgspec.structs.replace(one, decided=said)
    return known


def _decision(event: Event, fetch: Fetch) -> Decided | None:
    body = event.body
    if not isinstance(body, Note) or body.name != DECIDED:
        return None
    said = decided_of(value_of(body.data, fetch))
    return said if said is not None and said.slot.startswith(f"{SLOT}.") else None


def _is_told(event: Event, fetch: Fetch) -> bool:
    body = event.body
    if not isinstance(body, Note) or body.name != "told":
        return False
    said = value_of(body.data, fetch)
    return isinstance(said, dict) and said.get("kind") == KIND


def _in_words(one: Approval, said: Decided) -> str:
    call = f"{one.tool} {msgspec.json.encode(one.arguments).decode()}"
    if said.decision == "deny":
        why = f": {said.reason}" if said.reason else ""
        return f"- {call} must not be made again{why}."
    if said.decision == "edit":
        return f"- {call} may be made again, with {msgspec.json.encode(said.arguments).decode()}."
    return f"- {call} did not take effect and may be made again."


def _value(text: str | bytes | None) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
