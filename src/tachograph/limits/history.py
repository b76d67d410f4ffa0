"""The tool calls of a recorded run, as a detector of loops hears them: requests and answers in the order they happened.

A detector that was told the history of a run knows what the live one knew, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.tool import WAITS, ToolEnded, ToolStarted
from tachograph.fold.transcript import Fetch
from tachograph.limits.guard import Settled
from tachograph.limits.loops import Detector, Loops
from tachograph.limits.streaks import Place

REFUSED = ("rejected", "skipped")
"""States of calls that were never run."""


class Request(Struct, frozen=True):
    """A tool was asked for."""

    step: int
    name: str
    arguments: Any
    """The value, where its text is at hand; else words that only equal arguments share."""
    at: int
    """Monotonic, ns."""
    agent_type: str | None
    settled: Settled | None
    """How it ended, or will end; None while it is open."""

    @property
    def refused(self) -> bool:
        """Whether it was never run."""
        return self.settled is not None and self.settled.status in REFUSED


class Answer(Struct, frozen=True):
    """A tool call was over."""

    step: int
    settled: Settled


def moments(events: Iterable[Event], fetch: Fetch | None = None) -> Iterator[Request | Answer]:
    """Requests and answers of one run, in order. `fetch` finds contents that are kept by hash: `Blobs.fetch`.

    A call that ended because a worker in it waits for a person is made again when that goes on: it is heard then.
    """
    heard = [event for event in events if isinstance(event.body, ToolStarted | ToolEnded)]
    texts = _texts(heard, fetch)
    asleep = {event.step for event in heard if isinstance(event.body, ToolEnded) and event.body.reason == WAITS}
    heard = [event for event in heard if event.step not in asleep]
    ends = {event.step: event.body for event in reversed(heard) if isinstance(event.body, ToolEnded)}
    answers = {step: _settled(end, step, texts) for step, end in ends.items()}
    for event in heard:
        body = event.body
        if isinstance(body, ToolStarted):
            arguments = _value(body.arguments, texts, event.seq)
            yield Request(event.seq, body.name, arguments, event.mono, body.agent_type, answers.get(event.seq))
        elif event.step in answers:
            yield Answer(event.step, answers.pop(event.step))


def of_events(events: Iterable[Event], fetch: Fetch | None, loops: Loops) -> Detector:
    """A detector that knows what these events of one run say."""
    detector = Detector(loops)
    places: dict[int, Place] = {}
    for moment in moments(events, fetch):
        if isinstance(moment, Request):
            place = detector.asked(moment.name, moment.arguments, moment.at, refused=moment.refused)
            detector.began(place, moment.step)
            places[moment.step] = place
        elif moment.step in places:
            detector.answered(places.pop(moment.step), moment.settled)
    return detector


def _settled(end: ToolEnded, step: int, texts: Mapping[bytes, bytes]) -> Settled:
    error = end.error.type if end.error is not None else ""
    result = _value(end.result, texts, step)
    if result is None and end.error is not None:
        result = end.error.message or None
    return Settled(end.state, step, result=result, error=error)


def _texts(events: Sequence[Event], fetch: Fetch | None) -> Mapping[bytes, bytes]:
    if fetch is None:
        return {}
    contents = [
        event.body.arguments if isinstance(event.body, ToolStarted) else getattr(event.body, "result", None)
        for event in events
    ]
    wanted = {content.hash for content in contents if content is not None and content.text is None and content.hash}
    return fetch([bytes.fromhex(name) for name in wanted]) if wanted else {}


def _value(content: Content | None, texts: Mapping[bytes, bytes], step: int) -> Any:
    """A content's value; of what was cut or not kept, words that only equal contents share."""
    if content is None:
        return None
    text: str | bytes | None = content.text
    if text is None and content.hash is not None:
        text = texts.get(bytes.fromhex(content.hash), f"content {content.hash}")
    if text is None:
        return f"content of step {step}"
    if content.full_size is not None:
        return f"{content.full_size} bytes: {text!s}"
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
