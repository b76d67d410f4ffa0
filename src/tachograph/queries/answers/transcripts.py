"""What a model saw and said at one call, message by message, byte for byte.

An answer has its newest messages, and of their contents up to TOGETHER_BYTES, the smallest first; what goes beyond that
stands as a marker.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Raw, Struct

from tachograph.errors import InvalidParameter
from tachograph.events import ids
from tachograph.events.content import Content, digest
from tachograph.queries.find import find
from tachograph.queries.logs.contents import TOGETHER_BYTES, Cut, Json, marker, raw
from tachograph.queries.pages import Text
from tachograph.queries.transcript import Part, Said, transcript
from tachograph.store.ports import Reading


class TranscriptAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At which call, and how much of it."""

    call: Annotated[
        Text | None, Meta(description="`id` of a model call of the run, or its step number; without it the last one.")
    ] = None
    limit: Annotated[
        int, Meta(ge=1, le=5_000, description="Most messages to give, the newest; input and output together.")
    ] = 1_000
    offset: Annotated[int, Meta(ge=0, le=2**31, description="Newest messages to leave out.")] = 0


class SaidMessage(Struct, frozen=True, kw_only=True):
    """One message of a conversation."""

    seq: Annotated[int, Meta(description="Of its event.")]
    role: str
    message: Annotated[Json, Meta(description="The whole message, exactly as recorded; null when it was not kept.")]
    cut: Cut
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
    input: Annotated[
        tuple[SaidMessage, ...], Meta(description="What was sent, oldest first; of many messages the newest.")
    ]
    output: Annotated[tuple[SaidMessage, ...], Meta(description="What came back; on an abort the partial reply.")]
    tools: Annotated[Json, Meta(description="Tool definitions that were sent.")]
    params: Annotated[Json, Meta(description="Everything else that was sent.")]
    cut: Cut
    message_count: Annotated[int, Meta(ge=0, description="Messages there are, input and output together.")]
    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]


def call_transcript(store: Reading, name: str, asked: TranscriptAsked) -> CallTranscript:
    """The transcript of the run that `name` means, at a call. Raises NotFound, Ambiguous, InvalidParameter.

    At most `asked.limit` messages, and TOGETHER_BYTES of contents: what goes beyond that is cut.
    """
    run = find(store, name).id
    part = Part(TOGETHER_BYTES, asked.limit, asked.offset)
    found = transcript(store, run, None if asked.call is None else _step(run, asked.call), part)
    return CallTranscript(
        run_id=run,
        call_id=None if found.call is None else ids.step_id(run, found.call),
        model_id=found.model,
        input=_messages(found.input),
        output=_messages(found.output),
        tools=_json(found.tools, found.cut.get("tools")),
        params=_json(found.params, found.cut.get("params")),
        cut=tuple(found.cut),
        message_count=len(found.input) + len(found.output) + found.left_out,
        limit=asked.limit,
        offset=asked.offset,
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
            message=_json(each.text, None if each.whole else each.content),
            cut=() if each.whole else ("message",),
            size=each.content.size,
            full_size=each.content.full_size,
            redacted=dict(each.content.redacted or {}),
            marks=each.content.marks,
            level=each.content.level,
            ephemeral=each.ephemeral,
        )
        for each in said
    )


def _json(text: str | None, cut: Content | None) -> Raw | None:
    """A content as an answer has it; the marker for one that is cut."""
    if cut is not None:
        hash = digest((cut.text or "").encode()) if cut.hash is None else bytes.fromhex(cut.hash)
        return marker(hash, cut.size)
    return None if text is None else raw(text)
