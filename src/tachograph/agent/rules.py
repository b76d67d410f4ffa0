"""What an answer must be, and how often a model may miss it: the part of an agent that the pure loop reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from tachograph.agent.answer.output import schema_of
from tachograph.errors import SettingsError


class Profile(Struct, frozen=True):
    """Figures for a kind of work; what an agent states itself goes before them."""

    iterations: int
    nudges: int
    retries: int
    """Repeated attempts of one request, the first apart."""
    schema_retries: int


PROFILES: Mapping[str, Profile] = {
    "tool_using": Profile(50, 8, 2, 0),
    "researcher": Profile(30, 4, 2, 0),
    "verifier": Profile(5, 0, 2, 3),
    "completer": Profile(1, 0, 2, 0),
}
PLAIN = Profile(15, 2, 2, 1)
"""Of an agent that names no profile."""


class Phase(Struct, frozen=True):
    """One phase of the work. A reply moves on by a last line `next_phase: <name>`."""

    name: str
    instructions: str = ""
    """Said when the phase begins."""
    tools: tuple[str, ...] | None = None
    """Names of the tools it has; None for all."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of one agent."""

    output: Any = str
    """The type of the answer."""
    profile: str | None = None
    phases: Sequence[Phase] = ()
    required_tools: Sequence[str] = ()
    """Tools that must have succeeded before an answer is accepted."""
    done: str | None = None
    """A word that the answer must hold (and that is taken out of it); without it the model is asked to go on."""
    gate_refusals: int = 2
    """How often each gate may refuse an answer before the run ends."""
    nudges: int | None = None
    """Replies in a row that are neither an answer nor a tool call, before the run ends; None: as the profile says."""
    schema_retries: int | None = None
    """As for `nudges`."""
    nudge: str = "auto"
    """How a reply that does not fit `output` is corrected: `auto`, `off`, or a text of your own."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used. Raises SettingsError."""
        if self.profile is not None and self.profile not in PROFILES:
            raise SettingsError("profile", self.profile, f"one of {', '.join(PROFILES)}, or None")
        schema_of(self.output)

    @property
    def figures(self) -> Profile:
        """Its profile."""
        return PLAIN if self.profile is None else PROFILES[self.profile]

    @property
    def most_nudges(self) -> int:
        """Nudges, its own or those of the profile."""
        return self.figures.nudges if self.nudges is None else self.nudges

    @property
    def most_schema_retries(self) -> int:
        """Schema retries, its own or those of the profile."""
        return self.figures.schema_retries if self.schema_retries is None else self.schema_retries
