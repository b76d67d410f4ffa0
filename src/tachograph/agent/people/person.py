"""Who takes over: what the application does to give a run to a person, how often it is tried, and who hears of failure.

    Person(assign_to_desk, attempts=3, locale="pt_BR")

The effect is asked with a `HandOver`. Every attempt for one run and cause carries the same `effect_id`, also when the
run was resumed: an application that keeps it does nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from tachograph.agent.people.texts import DEFAULT, Texts
from tachograph.errors import SettingsError
from tachograph.events.run import STOP_REASONS
from tachograph.fold.handoffs import Cause


class HandOver(Struct, frozen=True):
    """What a program is told when a run is given to a person."""

    run_id: str | None
    session: str | None
    metric: str
    """Stop reason that led to it; empty where the model asked for it."""
    reason: str
    """In words, for people who run agents."""
    cause: Cause = "limit"
    effect_id: str = ""
    """The same for every attempt: what was done under it is not done again."""
    attempt: int = 1
    """Counted from 1, in this process."""
    agent: str = ""
    tenant: str = "default"
    user: str | None = None
    platform: str | None = None
    execution_id: str | None = None
    problem: str = ""
    """Why it failed, for `alert`."""


Effect = Callable[[HandOver], Any | Awaitable[Any]]
"""Plain or async. Returning means that it is done, unless `False` is returned; raising means that it is not."""


@dataclass(frozen=True)
class Person:
    """A person who can take over. Raises SettingsError for what cannot be used."""

    effect: Effect
    attempts: int = 3
    seconds: float = 20.0
    """Of one attempt."""
    wait: float = 0.5
    """Seconds before the second attempt; before each further one twice as many."""
    within: float = 60.0
    """Seconds of all attempts together, and no more than what is left of the run, unless that is nothing."""
    after: tuple[str, ...] = ()
    """Stop reasons of failed runs that are given to a person although no limit of mode `handoff` says so."""
    texts: Texts = field(default_factory=Texts)
    locale: str = DEFAULT
    """Where the `context` of the run has no `locale`."""
    alert: Effect | None = None
    """Told when nobody could be reached."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        if not callable(self.effect):
            raise SettingsError("effect", self.effect, "a function that gives a run to a person")
        for name in ("attempts", "seconds", "within"):
            if getattr(self, name) <= 0:
                raise SettingsError(name, getattr(self, name), "more than 0")
        if self.wait < 0:
            raise SettingsError("wait", self.wait, "0 seconds or more")
        if unknown := [reason for reason in self.after if reason not in STOP_REASONS["failed"]]:
            raise SettingsError("after", unknown, f"stop reasons: {', '.join(sorted(STOP_REASONS['failed']))}")

    @staticmethod
    def of(given: Person | Effect | None) -> Person | None:
        """A person; of a function alone, one who is tried as often as is usual."""
        return given if given is None or isinstance(given, Person) else Person(given)


def effect_id(run: str, cause: Cause, metric: str) -> str:
    """What names giving a run to a person: the same for the same run and cause, whoever asks."""
    named = blake2b("\0".join((run, cause, metric)).encode("utf-8", "replace"), digest_size=8)
    return f"handoff_{named.hexdigest()}"
