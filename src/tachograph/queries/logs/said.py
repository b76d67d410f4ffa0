"""What the log alone knows of steps: the words of model calls, and where errors came from.

Rows name messages by number; the words are in the transcript of the run. A prompt or response is given as text where it
is one plain message, and as the JSON array of its messages where it is more, bounded like every content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import ENDS, Event
from tachograph.fold.steps import closes
from tachograph.fold.transcript import Fetch, Message, collect
from tachograph.queries.events import fetch_texts, text_of
from tachograph.queries.logs.contents import TOGETHER_BYTES
from tachograph.queries.logs.keys import Key
from tachograph.queries.transcript import exchange
from tachograph.store.ports import Reading


class Spoken(NamedTuple):
    """The words of one call, and which of them were cut."""

    prompt: str | None
    response: str | None
    cut: tuple[str, ...] = ()


UNSAID = Spoken(None, None)


class Words(NamedTuple):
    """What the logs of some runs say."""

    spoken: Mapping[Key, Spoken]
    tracebacks: Mapping[Key, str]


SILENCE = Words({}, {})


def words(store: Reading, runs: Mapping[int, str], calls: Iterable[Key], each: int) -> Words:
    """The words of these calls, and every traceback, from the logs of `runs` (pk → run id)."""
    by_run: dict[int, list[int]] = {}
    for pk, step in calls:
        by_run.setdefault(pk, []).append(step)
    teller = _Teller(store.fetch, each)
    spoken: dict[Key, Spoken] = {}
    tracebacks: dict[Key, str] = {}
    for pk, run in runs.items():
        events = list(store.read(run))
        tracebacks.update({(pk, step): text for step, text in _tracebacks(events)})
        if pk in by_run:
            spoken.update({(pk, step): found for step, found in teller.tell(events, by_run[pk])})
    return Words(spoken, tracebacks)


def _tracebacks(events: Iterable[Event]) -> Iterable[tuple[int, str]]:
    for event in events:
        if isinstance(event.body, ENDS) and event.body.error is not None and event.body.error.traceback:
            step = closes(event)
            yield event.step if step is None else step, event.body.error.traceback


class _Teller:
    """Puts messages into words, as long as there is room in the answer."""

    def __init__(self, fetch: Fetch, each: int) -> None:
        self._fetch, self._each, self._left = fetch, each, TOGETHER_BYTES

    def tell(self, events: Sequence[Event], calls: Iterable[int]) -> Iterable[tuple[int, Spoken]]:
        """The words of these calls of one run."""
        messages = collect(events)
        starts = {event.seq: event.body for event in events if isinstance(event.body, CallStarted)}
        ends = {event.step: event.body for event in reversed(events) if isinstance(event.body, CallEnded)}
        for call in sorted(calls):
            sent, came = exchange(messages, starts.get(call, _NO_START), ends.get(call))
            prompt, whole_prompt = self._text(sent)
            response, whole_response = self._text(came)
            whole = {"prompt": whole_prompt, "response": whole_response}
            yield call, Spoken(prompt, response, tuple(name for name, is_whole in whole.items() if not is_whole))

    def _text(self, path: Sequence[Message]) -> tuple[str | None, bool]:
        """The words of a path, and whether these are all."""
        room = min(self._each, self._left)
        shown = _within(path, room)
        texts = fetch_texts((message.content for message in shown), self._fetch)
        said = [text_of(message.content, texts) for message in shown]
        if not any(said):
            return None, not path or room > 0
        text = _plain(said[0]) if len(path) == 1 else None
        if text is None:
            every = ",".join("null" if each is None else each for each in said)
            text = f"[{every}]" if len(shown) == len(path) else f"[{every},"
        whole = len(shown) == len(path) and len(text) <= room
        self._left -= min(len(text), room)
        return text if whole else f"{text[:room]}…", whole


_NO_START = CallStarted(provider="", model="")
"""Stands for a start that was lost: nothing is known of what was sent."""


def _within(path: Sequence[Message], room: int) -> Sequence[Message]:
    """Messages from the first on until they fill the room; the one that goes beyond it is among them."""
    for place, message in enumerate(path):
        if room <= 0:
            return path[:place]
        room -= message.content.size
    return path


def _plain(text: str | None) -> str | None:
    """The words of a message that is nothing but words; None for any other."""
    try:
        message: Any = msgspec.json.decode(text or "null")
    except (msgspec.DecodeError, RecursionError):
        return None
    if isinstance(message, str):
        return message
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return None
    more = any(value for name, value in message.items() if name not in ("role", "content"))
    return None if more else str(message["content"])
