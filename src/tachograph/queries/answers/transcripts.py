"""What a model saw and said at one call, message by message, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from tachograph.errors import InvalidParameter
from tachograph.events import ids
from tachograph.queries.find import find
from tachograph.queries.logs.contents import Json, raw
from tachograph.queries.pages import Text
from tachograph.queries.transcript import Said, transcript
from tachograph.store.ports import Reading


class TranscriptAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At which call."""

    call: Annotated[
        Text | None, Meta(description="`id` of a model call of the run, or its step number; without it the last one.")
    ] = None


class SaidMessage(Struct, frozen=True, kw_only=True):
    """One message of a conversation."""

    seq: Annotated[int, Meta(description="Of its event.")]
    role: str
    message: Annotated[Json, Meta(description="The whole message, exactly as recorded; null when it was not kept.")]
    size: Annotated[int, Meta(description="Bytes of it that were recorded.")]
    full_size: Annotated[int | None, Meta(description="Bytes it had before it was cut; null when it is whole.")]
    redacted: Annotated[dict[str, int], Meta(description="How often each redaction rule fired.")]
    marks: Annotated[tuple[str, ...], Meta(description="What had to be replaced: nan, cycle, depth, …")]
    level: Annotated[str, Meta(description="What was kept of it: full, redacted, hashed or none.")]
    ephemeral: Annotated[bool, Meta(description="Present in this request only.")]


class CallTranscript(Struct, frozen=True, kw_only=True):
    """One model call's conversation; of a run without calls the whole conversation."""

    run_id: str
    call_id: Annotated[str | None, Meta(description="`id` of the model call; null for a run without any.")]
    model_id: str | None
    input: Annotated[tuple[SaidMessage, ...], Meta(description="What was sent, oldest first.")]
    output: Annotated[tuple[SaidMessage, ...], Meta(description="What came back; on an abort the partial reply.")]
    tools: Annotated[Json, Meta(description="Tool definitions that were sent.")]
    params: Annotated[Json, Meta(description="Everything else that was sent.")]


def call_transcript(store: Reading, name: str, asked: TranscriptAsked) -> CallTranscript:
    """The transcript of the run that `name` means, at a call. Raises NotFound, Ambiguous, InvalidParameter."""
    run = find(store, name).id
    found = transcript(store, run, None if asked.call is None else _step(run, asked.call))
    return CallTranscript(
        run_id=run,
        call_id=None if found.call is None else ids.step_id(run, found.call),
        model_id=found.model,
        input=_messages(found.input),
        output=_messages(found.output),
        tools=None if found.tools is None else raw(found.tools),
        params=None if found.params is None else raw(found.params),
    )


def _step(run: str, name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        whose, step = ids.split_step_id(name)
    except ValueError:
        whose, step = "", 0
    if whose != run:
        raise InvalidParameter("call", name, f"give the id of a model call of run {run}, or its step number")
    return step


def _messages(said: Iterable[Said]) -> tuple[SaidMessage, ...]:
    return tuple(
        SaidMessage(
            seq=each.node,
            role=each.role,
            message=None if each.text is None else raw(each.text),
            size=each.content.size,
            full_size=each.content.full_size,
            redacted=dict(each.content.redacted or {}),
            marks=each.content.marks,
            level=each.content.level,
            ephemeral=each.ephemeral,
        )
        for each in said
    )
