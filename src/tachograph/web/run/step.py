"""The details of a step: its facts in words, each attempt with what the provider said of its limits, its texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.queries import wording
from tachograph.queries.answers.limits import ReachedLimit
from tachograph.queries.logs.call_rows import LlmCallLog
from tachograph.queries.step import StepDetails, Text
from tachograph.queries.units import ms
from tachograph.web import filters, links
from tachograph.web.run.head import used
from tachograph.web.run.timeline import in_and_out
from tachograph.web.run.value import Value, tree

_TITLES: Mapping[str, str] = {"tools": "Tools offered", "params": "Parameters", "metadata": "Metadata"}
_SAID: Mapping[str, str] = {"sent": "Sent", "reply": "Reply"}
_MOST_HEADERS = 40
_MOST_TREE, _MOST_PLAIN = 4_194_304, 262_144
"""Characters that are made a tree, and that are shown of a text that is none."""


class Fact(Struct, frozen=True):
    """One thing about a step."""

    name: str
    text: str
    href: str = ""


class Attempt(Struct, frozen=True, kw_only=True):
    """One request."""

    call: LlmCallLog
    is_this: bool
    href: str
    took: str
    tokens: str
    cost: str
    ended: str
    """Why it ended: what the provider said, or what kind of error it was."""
    headers: tuple[tuple[str, str], ...]
    """What its answer said of limits and waiting."""


class Hit(Struct, frozen=True):
    """A limit that was reached."""

    limit: ReachedLimit
    used: str
    evidence: tuple[tuple[int, str], ...]
    """Number and address of the steps that led to it."""


class Shown(Struct, frozen=True, kw_only=True):
    """A text as a page shows it."""

    text: Text
    title: str
    tree: Value | None
    plain: str
    """Where there is no tree."""
    notes: tuple[str, ...]
    """How it differs from what was said."""
    raw: str
    """Where the text is, byte for byte; empty where it was not kept."""
    more: str
    """Where it is shown although it is large."""


class Details(Struct, frozen=True, kw_only=True):
    """A step as a page shows it."""

    step: StepDetails
    facts: tuple[Fact, ...]
    attempts: tuple[Attempt, ...]
    hits: tuple[Hit, ...]
    texts: tuple[Shown, ...]
    place: str
    """It, in the timeline."""
    closer: str
    """The timeline of its time."""
    transcript: str
    """What the model saw; empty for what is no model call."""
    onward: str
    """What happened from there on, event by event."""


def details(found: StepDetails) -> Details:
    """What a template shows of it."""
    run, began = found.run.id, ms(found.begin_ns)
    until = began + ms(found.duration_ns) if found.duration_ns else None
    return Details(
        step=found,
        facts=tuple(_facts(found)),
        attempts=tuple(_attempt(call, found.id) for call in found.attempts),
        hits=tuple(_hit(limit) for limit in found.limits),
        texts=tuple(_shown(each, found.id) for each in found.texts),
        place=links.run(run, step=found.id),
        closer=links.run(run, step=found.id, since=f"{began:.3f}", until=f"{until:.3f}") if until else "",
        transcript=links.run(run, "transcript", call=str(found.seq)) if found.kind == "llm" else "",
        onward=links.run(run, after=str(found.seq - 1)),
    )


# ---- facts -----------------------------------------------------------------------------------------------------------


def _facts(found: StepDetails) -> Iterator[Fact]:
    yield Fact("Began", f"{wording.duration(found.begin_ns)} after the start of the run")
    yield Fact("Took", wording.duration(found.duration_ns) if found.duration_ns is not None else "not ended")
    if found.parent is not None:
        above = found.parent
        named = above.kind if above.name == above.kind else f"{above.kind} {above.name}"
        yield Fact("Part of", named.strip(), links.step(above.id))
    if found.agent:
        yield Fact("Agent", found.agent)
    if found.action:
        yield Fact("Action", found.action)
    if found.iteration is not None:
        yield Fact("Iteration", wording.count(found.iteration))
    if found.asked is not None:
        yield from _asking(found)
    call = next((each for each in found.attempts if each.id == found.id), None)
    if call is not None:
        yield from _call_facts(call)


def _asking(found: StepDetails) -> Iterator[Fact]:
    asked = found.asked
    if asked is None:
        return
    if asked.requested_by is not None:
        yield Fact("Asked for by", asked.requested_by.name or "model call", links.step(asked.requested_by.id))
    if asked.call_id:
        yield Fact("Call id", asked.call_id)
    yield Fact("Class", asked.classification)


def _call_facts(call: LlmCallLog) -> Iterator[Fact]:
    yield Fact("Provider", call.provider)
    if call.served_model and call.served_model != call.model_id:
        yield Fact("Served by", call.served_model)
    for name, value in (("Operation", call.operation), ("Purpose", call.purpose), ("Finish", call.finish_reason)):
        if value and value != "chat":
            yield Fact(name, value)
    if call.first_token_ms is not None:
        yield Fact("First token after", filters.ms(call.first_token_ms))
    if call.chunks_count is not None:
        yield Fact("Chunks", wording.count(call.chunks_count))
    yield Fact("Tokens", _token_words(call))
    yield Fact("Cost", _cost_words(call))
    if call.tier or call.served_tier:
        yield Fact("Tier", f"{call.served_tier or '—'} (asked for {call.tier or 'none'})")
    for name, value in (("Request id", call.request_id), ("Response id", call.response_id)):
        if value:
            yield Fact(name, value)


def _token_words(call: LlmCallLog) -> str:
    if call.input_tokens is None and call.output_tokens is None:
        return wording.UNKNOWN
    parts = (
        ("in", call.input_tokens), ("of it read from a cache", call.cache_read_tokens or None),
        ("written to a cache", call.cache_write_tokens or None), ("out", call.output_tokens),
        ("of it reasoning", call.reasoning_tokens or None),
    )  # fmt: skip
    said = ", ".join(f"{wording.count(value)} {name}" for name, value in parts if value is not None)
    return said if call.usage_basis in (None, "provider") else f"{said} ({call.usage_basis})"


def _cost_words(call: LlmCallLog) -> str:
    said = wording.UNKNOWN if call.total_cost is None else filters.usd(call.total_cost)
    if call.cost_state == "unpriced":
        return f"{said} (no price{f': {call.unpriced_reason}' if call.unpriced_reason else ''})"
    more = [call.cost_state] if call.cost_state not in (None, "priced") else []
    more += [f"reported {filters.usd(call.reported_cost)}"] if call.reported_cost is not None else []
    return f"{said} ({', '.join(more)})" if more else said


# ---- attempts and limits ---------------------------------------------------------------------------------------------


def _attempt(call: LlmCallLog, this: str) -> Attempt:
    error = call.error.category or call.error.type if call.error is not None else ""
    return Attempt(
        call=call,
        is_this=call.id == this,
        href=links.step(call.id),
        took=filters.ms(call.duration_ms),
        tokens=in_and_out(call.input_tokens, call.output_tokens),
        cost=filters.usd(call.total_cost),
        ended=error or call.finish_reason or "",
        headers=tuple(_headers(call)),
    )


def _headers(call: LlmCallLog) -> Iterator[tuple[str, str]]:
    """What was kept of the answers' headers: of the last exchange, as a program's own client recorded it."""
    try:
        said: Any = msgspec.json.decode(call.metadata or b"null")
    except msgspec.DecodeError:
        return
    exchanges = said.get("http") if isinstance(said, dict) else None
    last = exchanges[-1] if isinstance(exchanges, list) and exchanges else None
    headers = last.get("headers") if isinstance(last, dict) else None
    if isinstance(headers, dict):
        for name, value in sorted(headers.items())[:_MOST_HEADERS]:
            yield str(name), str(value)


def _hit(limit: ReachedLimit) -> Hit:
    steps = ((seq, links.step(ids.step_id(limit.run_id, seq))) for seq in limit.evidence[:_MOST_HEADERS])
    return Hit(limit, used(limit), tuple(steps))


# ---- texts -----------------------------------------------------------------------------------------------------------


def _shown(text: Text, step_id: str) -> Shown:
    raw = links.text(step_id, text.name) if text.size is not None else ""
    said = text.text or ""
    grown = _tree(said, text.name) if said and len(said) <= _MOST_TREE else None
    plain = "" if grown is not None else wording.cut(said, _MOST_PLAIN)
    return Shown(
        text=text,
        title=_title(text),
        tree=grown,
        plain=plain,
        notes=tuple(_notes(text.how)) if text.how is not None else (),
        raw=raw,
        more=links.to(links.step(step_id), whole=text.name) if text.text is None and raw else "",
    )


def _tree(said: str, name: str) -> Value | None:
    return tree(said, 0) if name == "tools" else tree(said)


def _title(text: Text) -> str:
    kind = _SAID.get(text.name.partition("-")[0])
    if kind is not None:
        return f"{kind}: {text.role}" if text.role and not (kind == "Reply" and text.role == "assistant") else kind
    return _TITLES.get(text.name, text.name.capitalize())


def _notes(how: Content) -> Iterator[str]:
    if how.full_size is not None:
        yield f"cut: {wording.size(how.size)} of {wording.size(how.full_size)} are kept"
    if how.redacted:
        yield "masked: " + ", ".join(f"{rule} ({wording.some(times, 'time')})" for rule, times in how.redacted.items())
    if how.marks:
        yield f"replaced: {', '.join(how.marks)}"
    if how.level in ("hashed", "none"):
        yield f"kept at level {how.level}"
