"""Repeated tool calls: facts about a run, not yet a judgement.

A call is a tool and its arguments as a value: key order and spelling do not matter. An outcome is a call with its
result. Calls stand in the order they began; text between them does not matter. `Repeats` says how often the same comes
again: at all, back to back, with the same result each time, and in circles of two to four. The steps are the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from tachograph.events.content import Content, canonical_hash, digest
from tachograph.events.envelope import Event
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.transcript import Fetch

PERIODS = (2, 3, 4)
"""Different calls in a circle, as far as circles are looked for."""
ROUNDS = 3
"""How often a circle must be gone round to be one."""

Key = tuple[object, ...]
"""What makes two calls, or two outcomes, the same; a key that holds a step is like no other."""


class Stretch(Struct, frozen=True):
    """Tool calls with no other tool call between them."""

    steps: tuple[int, ...] = ()
    """The calls, in order."""
    tools: tuple[str, ...] = ()
    """The tools of one round: one for a repeated call, two to four for a circle."""

    @property
    def length(self) -> int:
        """Number of calls."""
        return len(self.steps)

    @property
    def rounds(self) -> int:
        """How often it goes round."""
        return len(self.steps) // len(self.tools) if self.tools else 0


class Repeat(Struct, frozen=True):
    """One call that was made at least twice."""

    tool: str
    steps: tuple[int, ...]
    results: int
    """Different results it had. A call that is still open, or whose result was not kept, has one of its own."""

    @property
    def count(self) -> int:
        """How often it was made."""
        return len(self.steps)


class Repeats(Struct, frozen=True, kw_only=True):
    """What repeats among the tool calls of one run. The first of equally long stretches counts."""

    tool_calls: int = 0
    distinct_calls: int = 0
    max_identical: int = 0
    """Uses of the most frequent call."""
    max_same_call_and_result: int = 0
    """Uses of the most frequent outcome."""
    consecutive: Stretch = Stretch()
    """The longest run of one call."""
    consecutive_outcomes: Stretch = Stretch()
    """The longest run of one call with one result: it was told the same and asked again."""
    cycle: Stretch = Stretch()
    """The longest circle of two to four different calls, gone round at least three times, whole rounds only."""
    repeated: tuple[Repeat, ...] = ()
    """Calls made at least twice, most frequent first, then in the order they were first made."""


class _Call(Struct, frozen=True):
    step: int
    tool: str
    arguments: Content | None
    end: ToolEnded | None = None


def find(events: Iterable[Event], fetch: Fetch | None = None) -> Repeats:
    """What repeats in one run. Time and memory grow with the number of its tool calls.

    With `fetch`, arguments kept by hash are compared as values too; without, they are the same when their text is.
    Arguments or results that were not kept, not even by hash, are like no others.
    """
    calls = _calls(events)
    texts = _texts(calls, fetch)
    keys = [_call_key(call, texts) for call in calls]
    outcomes = [(*key, *_result_key(call)) for key, call in zip(keys, calls, strict=True)]
    groups = _groups(keys)
    repeated = [_repeat(group, calls, outcomes) for group in groups if len(group) > 1]
    return Repeats(
        tool_calls=len(calls),
        distinct_calls=len(groups),
        max_identical=max(map(len, groups), default=0),
        max_same_call_and_result=max(map(len, _groups(outcomes)), default=0),
        consecutive=_stretch(_longest(_periodic(keys, 1)), calls, 1),
        consecutive_outcomes=_stretch(_longest(_periodic(outcomes, 1)), calls, 1),
        cycle=_cycle(keys, calls),
        repeated=tuple(sorted(repeated, key=lambda repeat: -repeat.count)),
    )


def _calls(events: Iterable[Event]) -> list[_Call]:
    """Tool calls in the order they began, each with its result."""
    calls: dict[int, _Call] = {}
    for event in events:
        body = event.body
        if isinstance(body, ToolStarted) and event.seq not in calls:
            calls[event.seq] = _Call(event.seq, body.name, body.arguments)
        elif isinstance(body, ToolEnded) and (start := calls.get(event.step)) is not None and start.end is None:
            calls[start.step] = _Call(start.step, start.tool, start.arguments, body)
    return list(calls.values())


def _texts(calls: Iterable[_Call], fetch: Fetch | None) -> dict[str, bytes]:
    if fetch is None:
        return {}
    wanted = {call.arguments.hash for call in calls if call.arguments is not None and call.arguments.text is None}
    found = fetch([bytes.fromhex(name) for name in wanted if name is not None])
    return {name.hex(): text for name, text in found.items()}


def _call_key(call: _Call, texts: dict[str, bytes]) -> Key:
    content = call.arguments
    if content is None:
        return (call.tool,)
    text: str | bytes | None = content.text if content.text is not None else texts.get(content.hash or "")
    if text is not None:
        return (call.tool, canonical_hash(_unwrapped(text)), content.full_size)
    return (call.tool, content.hash, content.full_size) if content.hash else (call.tool, call.step)


def _result_key(call: _Call) -> Key:
    if call.end is None:
        return (call.step,)
    content, error = call.end.result, call.end.error
    if content is None:
        return (call.end.state, error.type, error.message) if error is not None else (call.end.state,)
    if content.text is not None:
        return (digest(content.text.encode()).hex(), content.full_size)
    return (content.hash, content.full_size) if content.hash else (call.step,)


def _unwrapped(text: str | bytes) -> str | bytes:
    """The arguments themselves where they came as JSON text inside a JSON string."""
    if text[:1] not in ('"', b'"'):
        return text
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeError):
        return text


def _groups(keys: Iterable[Key]) -> list[list[int]]:
    """Positions of equal keys, in the order each key comes first."""
    found: dict[Key, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return list(found.values())


def _repeat(group: Sequence[int], calls: Sequence[_Call], outcomes: Sequence[Key]) -> Repeat:
    steps = tuple(calls[position].step for position in group)
    return Repeat(calls[group[0]].tool, steps, len({outcomes[position] for position in group}))


def _longest(stretches: Iterable[range]) -> range:
    return max(stretches, key=len, default=range(0))


def _periodic(keys: Sequence[Key], period: int) -> Iterator[range]:
    """All longest stretches in which every key equals the one `period` places before."""
    start = 0
    for position in range(period, len(keys) + 1):
        if position == len(keys) or keys[position] != keys[position - period]:
            yield range(start, position)
            start = position - period + 1


def _cycle(keys: Sequence[Key], calls: Sequence[_Call]) -> Stretch:
    best = Stretch()
    for period in PERIODS:
        circles = (
            each for each in _periodic(keys, period) if len(set(keys[each.start : each.start + period])) == period
        )
        found = _longest(circles)
        rounds = len(found) // period
        if rounds >= ROUNDS and rounds * period > best.length:
            best = _stretch(found[: rounds * period], calls, period)
    return best


def _stretch(positions: range, calls: Sequence[_Call], period: int) -> Stretch:
    chosen = [calls[position] for position in positions]
    return Stretch(tuple(call.step for call in chosen), tuple(call.tool for call in chosen[:period]))
