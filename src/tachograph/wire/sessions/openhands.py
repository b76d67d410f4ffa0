"""OpenHands: logs of single model calls (`llm_completions`, the SDK's llm logs), and `output.jsonl` of evaluations.

A log of a call holds all messages sent with it, so the calls of one conversation are joined by that prefix: each
message is told once, at the call that saw it first. Records of evaluations are read by `openhands_history`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tachograph.events.content import canonical
from tachograph.wire.lines import NULL, Unreadable, compose, members, parse, present, value
from tachograph.wire.money import nano_usd
from tachograph.wire.sessions import chat, openhands_history
from tachograph.wire.sessions.draft import Draft, Found, Origin, Problem, Recorded
from tachograph.wire.times import duration, nanoseconds
from tachograph.wire.vendors import served

FORMAT = "openhands"


class _Call(Struct):
    """One logged call; `n_messages` is how many of the conversation's messages it saw."""

    response: chat.Completion = msgspec.field(default_factory=chat.Completion)
    messages: list[Raw] = []
    timestamp: Any = None
    cost: Raw = NULL
    latency_sec: Any = None
    kwargs: Raw = NULL
    n_messages: int = 0


class _Joined(Struct):
    llm_calls: list[_Call]
    messages_of_last_call: list[Raw]
    kwargs_of_last_call: Raw = NULL
    instance_id: Any = None
    attempt: Any = None


_raw = msgspec.json.Decoder(Raw)
_call = msgspec.json.Decoder(_Call)
_joined = msgspec.json.Decoder(_Joined)
_message = msgspec.json.Decoder(chat.Message)


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of evaluation records, of joined calls, and of single calls, which are joined here."""
    loose: list[tuple[int, _Call]] = []
    for number, line in lines:
        try:
            record = parse(_raw, line)
            head = members(record)
            if "history" in head:
                yield openhands_history.tell(bytes(record), number, origin)
            elif "llm_calls" in head:
                yield _tell_joined(parse(_joined, bytes(record)), number, origin)
            elif "response" in head and "messages" in head:
                loose.append((number, parse(_call, bytes(record))))
            else:
                yield Problem(number, "neither a call nor a record of an evaluation")
        except (Unreadable, msgspec.DecodeError) as fault:
            yield Problem(number, str(fault))
    for line_number, calls in _by_prefix(loose):
        key = calls[0].response.id or f"{origin.key or origin.source}#{line_number}"
        yield _tell(calls, key, line_number, origin, {})


def _tell_joined(joined: _Joined, line: int, origin: Origin) -> Recorded:
    calls = joined.llm_calls
    if not calls:
        raise msgspec.DecodeError("no calls")
    for call in calls:
        call.messages = joined.messages_of_last_call[: max(0, call.n_messages)]
    calls[-1].kwargs = joined.kwargs_of_last_call
    key = calls[0].response.id or f"{origin.key or origin.source}#{line}"
    return _tell(calls, key, line, origin, {"instance": joined.instance_id, "attempt": joined.attempt})


def _tell(calls: list[_Call], key: str, line: int, origin: Origin, metadata: dict[str, Any]) -> Recorded:
    ends = [nanoseconds(call.timestamp) for call in calls]
    first = ends[0] if ends[0] is None else ends[0] - (duration(calls[0].latency_sec) or 0)
    draft = Draft(FORMAT, key, first, origin, line)
    task = next((m for raw in calls[0].messages if (m := _read(raw)).role == "user"), None)
    asked = None if task is None else chat.said(task)
    draft.begin(FORMAT, platform=FORMAT, agent_type=FORMAT, input=asked, metadata=metadata)
    told, retried = 0, None
    for index, call in enumerate(calls):
        following = calls[index + 1].messages if index + 1 < len(calls) else []
        for raw in call.messages[told:]:
            _hear(draft, _read(raw), raw)
        told, before = len(call.messages), draft.tip
        later = following[told] if told < len(following) and _read(following[told]).role == "assistant" else None
        dropped = index + 1 < len(calls) and len(following) <= told
        retried = _ask(draft, call, later, ends[index], retried, dropped=dropped)
        told += later is not None
        if dropped:
            draft.tip = before
    return _end(draft, calls[-1])


def _ask(
    draft: Draft, call: _Call, later: Raw | None, end: int | None, retried: int | None, *, dropped: bool
) -> int | None:
    """One call; `later` is its reply as the next call repeats it, in the conversation's own shape.

    A reply that the next call does not know was dropped: none of its tools ran, and the next call is a second attempt.
    Returns the attempt that the next call repeats.
    """
    kwargs = members(call.kwargs)
    rest = {key: part for key, part in kwargs.items() if key != "tools"}
    provider, model = served(call.response.model)
    at = end if end is not None else draft.ready
    took = duration(call.latency_sec)
    step = draft.call(
        provider,
        model,
        at=None if took is None else at - took,
        attempt=1 if retried is None else draft.events[retried].body.attempt + 1,  # type: ignore[union-attr]
        retry_of=retried,
        tools=present(kwargs.get("tools", NULL)),
        params=present(compose(rest)) if rest else None,
    )
    raw = later or call.response.message
    facts = {**call.response.facts(), "reported_cost": nano_usd(call.cost) or None}
    message = _read(call.response.message)
    if dropped:
        message = msgspec.structs.replace(message, tool_calls=None, function_call=None)
    chat.reply(draft, step, at, message, raw, **facts)
    return step if dropped else None


def _hear(draft: Draft, message: chat.Message, raw: Raw) -> None:
    """A message that was sent. Without function calling, results come as what the user says next."""
    if message.role != "user" or draft.waiting is None or chat.answered(message):
        chat.listen(draft, draft.ready, message, raw)
        return
    step = draft.waiting
    seq = draft.say(draft.ready, "user", raw, step)
    draft.answer(step, draft.ready, "completed", result=chat.said(message), message=seq)


def _end(draft: Draft, last: _Call) -> Recorded:
    message = _read(last.response.message)
    final = next((call for call in chat.asked(message) if call.name == "finish"), None)
    if final is None:
        status, reason, answer = chat.outcome(message)
        return draft.finish(status, reason, growing=status == "abandoned", output=answer)
    step = draft.pending(final.call_id)
    if step is not None:
        draft.answer(step, draft.ready, "completed")
    return draft.finish("completed", "final_answer", output=chat.said(message) or final.arguments)


def _by_prefix(calls: Iterable[tuple[int, _Call]]) -> Iterator[tuple[int, list[_Call]]]:
    """Calls by conversation: one continues another when it starts with all that the other was sent."""
    conversations: list[tuple[int, list[_Call], list[bytes]]] = []
    for line, call in sorted(calls, key=lambda item: nanoseconds(item[1].timestamp) or 0):
        sent = [_identity(raw) for raw in call.messages]
        for place, (first, before, known) in enumerate(conversations):
            if len(known) < len(sent) and sent[: len(known)] == known:
                conversations[place] = (first, [*before, call], sent)
                break
        else:
            conversations.append((line, [call], sent))
    yield from ((line, before) for line, before, _ in conversations)


def _identity(raw: Raw) -> bytes:
    """A message apart from the marks of prompt caching, which move from call to call."""
    return canonical(msgspec.json.encode(_unmarked(value(raw))))


def _unmarked(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: _unmarked(item) for key, item in thing.items() if key != "cache_control"}
    return [_unmarked(item) for item in thing] if isinstance(thing, list) else thing


def _read(raw: Raw) -> chat.Message:
    try:
        return _message.decode(raw)
    except msgspec.DecodeError:
        return chat.Message()
