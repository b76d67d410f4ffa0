"""The logs that coding agents keep on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tachograph.cli.intake.files import File, find
from tachograph.wire.sessions.detect import PLACES, Place


class Agent(Struct, frozen=True):
    """One agent's logs."""

    format: str
    home: Path
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """Size of all of them on disk."""
        return sum(file.size for file in self.files)


def agents() -> list[Agent]:
    """Every agent that left logs here."""
    return [agent for place in PLACES for home in _homes(place) if (agent := _agent(place, home)).files]


def looked_in() -> list[str]:
    """Where `agents` looks."""
    return [str(home) for place in PLACES for home in _homes(place)]


def _homes(place: Place) -> Iterator[Path]:
    # Another program's variable is no setting of ours.
    named = os.environ.get(place.variable) if place.variable else None  # noqa: TID251
    seen: set[Path] = set()
    for text in named.split(",") if named else place.homes:
        home = Path(text.strip()).expanduser()
        if home not in seen:
            seen.add(home)
            yield home


def _agent(place: Place, home: Path) -> Agent:
    paths = sorted({path for pattern in place.patterns for path in home.glob(pattern)})
    return Agent(place.format, home, tuple(find(paths)))
