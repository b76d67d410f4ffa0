"""What an import came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from tachograph.fold.totals import Totals

KEPT = 1_000
"""Problems that are named; more are counted."""


class Trouble(Struct, frozen=True):
    """Something that could not be read; the rest went in."""

    file: str
    line: int | None
    """1-based; None for the file as a whole."""
    reason: str

    @property
    def text(self) -> str:
        """`file:line: reason`."""
        return f"{self.file}: {self.reason}" if self.line is None else f"{self.file}:{self.line}: {self.reason}"


@dataclass
class Report:
    """Counts of one import, growing while it goes on."""

    files: int = 0
    """Files read."""
    unchanged: int = 0
    """Files that were imported before and are the same."""
    other: int = 0
    """Files in folders that hold no conversation."""
    new: int = 0
    """Runs that were not there."""
    updated: int = 0
    """Runs that were there and changed: a session that grew."""
    same: int = 0
    """Runs that were there as they are."""
    events: int = 0
    bytes: int = 0
    """Bytes read, unpacked."""
    seconds: float = 0.0
    totals: Totals = field(default_factory=Totals)
    """Of the new and updated runs."""
    problems: int = 0
    named: list[Trouble] = field(default_factory=list)

    @property
    def runs(self) -> int:
        """Runs that went in."""
        return self.new + self.updated

    @property
    def megabytes_per_second(self) -> float | None:
        """Of what was read; None when nothing was."""
        return self.bytes / 1e6 / self.seconds if self.bytes and self.seconds else None

    def trouble(self, path: Path, line: int | None, reason: str) -> None:
        """Something could not be read."""
        self.problems += 1
        if len(self.named) < KEPT:
            self.named.append(Trouble(str(path), line, reason))

    def forget(self, problems: int) -> None:
        """Take back all problems but the first so many: what was read was no conversation after all."""
        self.problems = problems
        del self.named[problems:]
