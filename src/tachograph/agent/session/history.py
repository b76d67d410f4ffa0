"""What was said in a session, read from the log; and what became of turns that nobody finished.

A head names a message of a run: the path to it is the conversation. A process that has just written it has it in hand;
every other one waits until it is in the store, and moves the journal of a dead writer there itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tachograph.agent.recorded import state_of
from tachograph.agent.transcript import closed
from tachograph.compose import System, drain_for, journals_folder
from tachograph.errors import CodecError, HistoryMissing, StoreError, WriteOnly
from tachograph.events.chat import HIDDEN, Message, read
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunResumed, RunStarted
from tachograph.fold import transcript
from tachograph.store.open import is_remote
from tachograph.store.query import Query, Where
from tachograph.store.sessions.head import Head, Lease, Point

NOWHERE = Point("", -1)
"""The history of a session whose conversation could not be recorded."""
NOT_KEPT = "[this message was not kept]"
LATE_SECONDS = 3.0
"""How long to wait for what another process has said and its drain has not moved yet."""
DEAD_SECONDS = 1.5
"""How long to wait until a dead writer's runs are closed."""
_POLL_SECONDS = 0.02


def is_readable(system: System) -> bool:
    """Whether what is recorded can be read back from the store."""
    url = system.settings.store_url
    return url != "memory:" and not is_remote(url)


def conversation(system: System, head: Head, *, accept: bool) -> tuple[Message, ...]:
    """What was said up to the last commit. Blocks. Raises HistoryMissing, unless what is missing is accepted."""
    point = head.history
    if point is None:
        return ()
    try:
        return _path(system, head, point, accept=accept)
    except (HistoryMissing, StoreError) as problem:
        if accept:
            return ()
        if isinstance(problem, WriteOnly):
            raise HistoryMissing(head.id, str(problem)) from problem
        raise


def recovered(
    system: System, head: Head, before: Lease | None, said: tuple[Message, ...], *, accept: bool
) -> tuple[Message, ...]:
    """The conversation with what runs have added that nobody committed: closed as interrupted. Blocks.

    Of a run that goes on elsewhere, or was discarded, only what the user said; of one that is paused nothing.
    """
    if not head.unfinished or not is_readable(system):
        return said
    _settle(system, head, before)
    for run in head.unfinished:
        said = _with_run(system, head, run, said, accept=accept)
    return said


def hidden(messages: Iterable[Message]) -> tuple[str, ...]:
    """Names of tools whose arguments are masked in a conversation."""
    calls = (call for message in messages for call in message.tool_calls)
    return tuple(sorted({call.name for call in calls if call.hidden or HIDDEN in call.arguments}))


# ---- reading ---------------------------------------------------------------------------------------------------------


def _path(system: System, head: Head, point: Point, *, accept: bool) -> tuple[Message, ...]:
    if point == NOWHERE:
        raise HistoryMissing(head.id, "it could not be recorded, and only the process that led it knows it")
    if not is_readable(system):
        url = system.settings.store_url
        raise HistoryMissing(head.id, f"store {url} answers no questions, and only the process that led it knows it")
    if not _arrives(system, point):
        raise HistoryMissing(head.id, f"event {point.seq} of run {point.run} is not in the store")
    messages = transcript.collect(system.store.read(point.run, limit=point.seq + 1))
    if point.seq not in messages.messages:
        raise HistoryMissing(head.id, f"event {point.seq} of run {point.run} is no message")
    found = transcript.read(messages.path(point.seq), system.store.fetch)
    if None in found and not accept:
        level = "not kept, whole" if system.scrubber.keeps_content else f"not kept (capture={system.settings.capture})"
        raise HistoryMissing(head.id, f"its content was {level}")
    return closed(spoken(_mended(found, [message.role for message in messages.path(point.seq)])))


def spoken(messages: Iterable[Message]) -> tuple[Message, ...]:
    """A conversation without instructions."""
    return tuple(message for message in messages if message.role != "system")


def _mended(values: Sequence[Any], roles: Sequence[str]) -> Iterator[Message]:
    """The messages, valid whatever is missing: a text in the place of what was said, and no results without a call."""
    waiting: set[str | None] = set()
    for value, role in zip(values, roles, strict=True):
        message = None if value is None else read(value)
        if message is None and role in ("user", "assistant"):
            waiting = set()
            yield Message(role, NOT_KEPT)  # type: ignore[arg-type]  # one of two
        elif message is not None and (message.role != "tool" or message.tool_call_id in waiting):
            waiting = (
                waiting - {message.tool_call_id} if message.role == "tool" else {call.id for call in message.tool_calls}
            )
            yield message


# ---- waiting ---------------------------------------------------------------------------------------------------------


def _arrives(system: System, point: Point) -> bool:
    """Whether the message is in the store, or comes in time."""
    until = time.monotonic() + LATE_SECONDS
    while system.store.next_seq(point.run) <= point.seq:
        if time.monotonic() > until:
            return False
        _adopt(system)
        time.sleep(_POLL_SECONDS)
    return True


def _settle(system: System, head: Head, before: Lease | None) -> None:
    """Wait until the runs that nobody finished have ended, as far as their writer is dead."""
    folder = None if before is None or not before.owner else journals_folder(system.settings) / before.owner
    until = time.monotonic() + DEAD_SECONDS
    system.worker.flush(DEAD_SECONDS)  # one that had paused may have gone on in this very process
    query = Query("runs", (Where("id", "in", head.unfinished),), ("id", "status"), limit=None)
    while time.monotonic() < until:
        _adopt(system)
        rows = system.store.find(query).rows
        if len(rows) == len(head.unfinished) and all(row["status"] != "started" for row in rows):
            return
        if folder is None or not folder.exists():
            return
        time.sleep(_POLL_SECONDS)


def _adopt(system: System) -> None:
    """Move what journals hold into the store, the dead ones' too, if nobody else is at it."""
    if not system.settings.drain:
        return
    drain = drain_for(system.settings, system.scrubber, own=lambda: system.recorder.journal.folder.name)
    try:
        drain.once()
    except OSError as problem:
        system.recorder.fault("adopt", problem)
    finally:
        drain.close()


# ---- runs that nobody finished ---------------------------------------------------------------------------------------


def _with_run(
    system: System, head: Head, run: str, said: tuple[Message, ...], *, accept: bool
) -> tuple[Message, ...]:  # fmt: skip
    events = list(system.store.read(run))
    ended = next((event.body for event in reversed(events) if isinstance(event.body, RunEnded | RunResumed)), None)
    ended = ended if isinstance(ended, RunEnded) else None
    if ended is not None and ended.status == "paused":
        return said
    try:
        if ended is not None and not ended.discarded and ended.stop_reason != "superseded":
            found = spoken(state_of(events, system.store.fetch).messages)
            if found:
                return closed(found)
        prompt = _prompt(system, events)
    except CodecError as problem:
        if accept:
            return said
        raise HistoryMissing(head.id, f"run {run} was not finished, and {problem.reason}") from problem
    return said if prompt is None else (*said, prompt)


def _prompt(system: System, events: Sequence[Event]) -> Message | None:
    """What the user said to a run, as its start has it."""
    started = events[0].body if events else None
    if not isinstance(started, RunStarted) or started.input is None:
        return None
    text = transcript.text_of(started.input, system.store.fetch)
    if text is None:
        raise CodecError("what the user said was not kept")
    return read({"role": "user", "content": msgspec.json.decode(text)})
