"""Recorded conversations read for a question, and stored nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.cli.intake import exported
from tachograph.cli.intake.files import File, read
from tachograph.errors import ImportFailed
from tachograph.events.envelope import Event
from tachograph.wire.lines import split
from tachograph.wire.sessions.detect import READERS, format_of
from tachograph.wire.sessions.draft import Origin, Problem, Recorded

Place = tuple[str, int]
"""File, absolute, and line, 1-based."""


class Conversation(Struct, frozen=True):
    """The runs that one line of a file tells, or one document, or one session in a log."""

    place: Place
    runs: tuple[tuple[Event, ...], ...]


def conversations(files: Iterable[File], trouble: Callable[[str], Any]) -> Iterator[Conversation]:
    """Those in files of any format that import reads; `trouble` is told what cannot be read, one line each."""
    for file in files:
        try:
            yield from _of_file(file, trouble)
        except ImportFailed as problem:
            trouble(str(problem))


def outcomes(path: Path) -> dict[Place, bool]:
    """Which conversations succeeded, from an index beside them. Raises ImportFailed, OSError.

    Its lines are objects with `file` (below the index's own folder), `line` (from 0) and `outcome`, which holds a
    `reward` (1 is success), `resolved` (true or false) or `error`. Lines that say nothing of the kind are left out.
    """
    found: dict[Place, bool] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = msgspec.json.decode(line, type=_Row)
        except msgspec.DecodeError as problem:
            raise ImportFailed(str(path), number, f"no row of an index: {problem}") from problem
        success = _success(row.outcome or {})
        if success is not None:
            found[str((path.parent / row.file).resolve()), row.line + 1] = success
    return found


class _Row(Struct):
    file: str
    line: int
    outcome: dict[str, Any] | None = None


def _success(outcome: dict[str, Any]) -> bool | None:
    match outcome:
        case {"reward": int() | float() as reward}:
            return reward >= 1
        case {"resolved": bool() as resolved}:
            return resolved
        case {"error": str()}:
            return False
        case _:
            return None


def _of_file(file: File, trouble: Callable[[str], Any]) -> Iterator[Conversation]:
    lines = list(split(read(file.path)))
    heads = [line for _, line in lines[:50]]
    name = format_of(heads)
    reader = exported.read if name is None and any(map(exported.is_event, heads)) else READERS.get(name or "")
    if reader is None:
        return
    recorded: list[Recorded] = []
    for found in reader(lines, Origin(source=file.path.name, at=file.mtime_ns, key=file.key)):
        if isinstance(found, Problem):
            trouble(f"{file.path}:{found.line}: {found.reason}")
        elif found.events:
            recorded.append(found)
    for line, runs in groupby(recorded, key=lambda run: run.line):
        yield Conversation((str(file.path), line), tuple(run.events for run in runs))
