"""The recorded conversations beside the repository, read once, and what their events add up to."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content, canonical
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.wire.sessions import detect
from tachograph.wire.sessions.draft import Origin, Problem, Recorded


@cache
def index(folder: Path) -> list[dict[str, Any]]:
    """Rows of the index: what each conversation holds, by other means."""
    with (folder / "trajectories" / "index.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


@cache
def wrapped(file: Path) -> tuple[bytes, ...]:
    """Lines of a collection."""
    return tuple(gzip.decompress(file.read_bytes()).split(b"\n"))


@cache
def runs(file: Path, line: int) -> tuple[Recorded, ...]:
    """The runs of one conversation; fails on a problem."""
    found = list(detect.READERS["wrapped"]([(line + 1, wrapped(file)[line])], Origin(file.name)))
    problems = [item for item in found if isinstance(item, Problem)]
    assert problems == []
    return tuple(item for item in found if isinstance(item, Recorded))


class Facts:
    """What the events of one or several runs add up to, for one side of the conversation or for all."""

    def __init__(self, runs: Sequence[Recorded], side: str | None = None) -> None:
        self.runs = runs
        self.events: list[Event] = [event for run in runs for event in run.events]
        self.side = side
        tools = [(event, event.body) for event in self.events if isinstance(event.body, ToolStarted)]
        ends = {(event.run, event.step): event.body for event in self.events if isinstance(event.body, ToolEnded)}
        self.tools = [(body, ends[event.run, event.seq]) for event, body in tools if self._ours(body.agent_type)]
        calls = {(event.run, event.seq): event.body for event in self.events if isinstance(event.body, CallStarted)}
        self.calls = [
            (calls[event.run, event.step], event.body)
            for event in self.events
            if isinstance(event.body, CallEnded) and self._ours(calls[event.run, event.step].agent_type)
        ]

    def _ours(self, agent_type: str | None) -> bool:
        return self.side is None or agent_type == self.side

    @property
    def messages(self) -> list[MessageAppended]:
        """All messages, of all sides."""
        return [event.body for event in self.events if isinstance(event.body, MessageAppended)]

    @property
    def ends(self) -> list[RunEnded]:
        """How each run ended."""
        return [event.body for event in self.events if isinstance(event.body, RunEnded)]

    @property
    def starts(self) -> list[RunStarted]:
        """How each run began."""
        return [event.body for event in self.events if isinstance(event.body, RunStarted)]

    @property
    def requests(self) -> list[tuple[str, bytes]]:
        """Tool calls as (tool, arguments with sorted keys)."""
        return [(tool.name, _same(tool.arguments)) for tool, _ in self.tools]

    @property
    def exchanges(self) -> list[tuple[str, bytes, bytes]]:
        """Tool calls with their results."""
        return [(tool.name, _same(tool.arguments), _same(end.result)) for tool, end in self.tools]

    def tokens(self, name: str) -> int:
        """Sum of a token class over the calls that say it."""
        return sum(getattr(end.usage, name) or 0 for _, end in self.calls)

    def repeats(self, results: bool = True) -> dict[str, int]:
        """The index's figures of repetition."""
        asked = self.requests
        found = {
            "tool_calls": len(asked),
            "distinct_calls": len(set(asked)),
            "max_identical": _most(asked),
            "longest_consecutive_identical": _streak(asked),
            "longest_cycle_2to4": _cycle(asked),
        }
        if results:
            found["longest_run_same_call_and_result"] = _streak(self.exchanges)
            found["max_same_call_and_result"] = _most(self.exchanges)
        return found


def _same(content: Content | None) -> bytes:
    return b"" if content is None or content.text is None else canonical(content.text)


def _most(things: Sequence[Any]) -> int:
    return max(Counter(things).values(), default=0)


def _streak(things: Sequence[Any]) -> int:
    longest = here = 0
    for place, thing in enumerate(things):
        here = here + 1 if place and thing == things[place - 1] else 1
        longest = max(longest, here)
    return longest


def _cycle(things: Sequence[Any]) -> int:
    """Length of the longest stretch that repeats 2 to 4 different calls at least three times."""
    longest = 0
    for period in (2, 3, 4):
        start = 0
        while start + 3 * period <= len(things):
            end = start + period
            while end < len(things) and things[end] == things[end - period]:
                end += 1
            if len(set(things[start : start + period])) == period and end - start >= 3 * period:
                longest = max(longest, end - start)
            start += 1
    return longest
