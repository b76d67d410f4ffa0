"""Approval: a person, or a rule of the program, says whether a tool call may be made. Doubt is a no.

Who decides sees arguments that have been checked already (`arguments.prepare`), and edited ones are checked again. No
answer in time, an exception, or an answer that is none of the three: the call is denied, and the reason says why.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tachograph.agent.pace.bounded import Ended, Overdue, answer_of
from tachograph.agent.tools.arguments import Unfit, fit
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError

log = logging.getLogger("tachograph.agent")

MOST_SECONDS = 10 * 365 * 86_400
"""Longest that a call may wait and still expire."""


@dataclass(frozen=True)
class Asked:
    """A call that waits for a decision. Its arguments have been checked."""

    tool: Tool
    arguments: Mapping[str, Any]
    """As JSON: `Prepared.given`."""
    run_id: str = ""
    agent: str = ""
    call_id: str = ""
    iteration: int = 0


@dataclass(frozen=True)
class Allow:
    """It may be made."""

    by: str = ""
    """Who decided."""


@dataclass(frozen=True)
class Deny:
    """It may not; the model is told why."""

    reason: str = ""
    by: str = ""


@dataclass(frozen=True)
class Edit:
    """It may be made, with these arguments in place of its own."""

    arguments: Mapping[str, Any]
    by: str = ""


@dataclass(frozen=True)
class Pause:
    """In place of somebody to be asked: the run stops, and goes on in any process when somebody has decided.

    Raises SettingsError for what cannot be used.
    """

    expires: float | None = None
    """Seconds after which nobody can decide any more, and the call counts as denied; None: it waits for ever."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        if self.expires is not None and not 0 < self.expires <= MOST_SECONDS:
            raise SettingsError("expires", self.expires, f"seconds above 0, {MOST_SECONDS:,} at most; or None")


Decision = Allow | Deny | Edit
Approve = Callable[[Asked], Decision | Awaitable[Decision]]
"""Plain or async. A plain function runs in a thread: it may wait for somebody at a keyboard."""


async def decide(approve: Approve | None, asked: Asked, seconds: float | None) -> Decision:
    """What is decided within so many seconds (None: however long it takes). The caller's cancellation passes on.

    An `Edit` that is returned fits its tool: `arguments.fit` makes it ready.
    """
    if approve is None:
        return Deny(f"{asked.tool.name} needs approval, and nobody is there to give it.")
    try:
        ended = await answer_of(approve, asked, seconds=seconds)
    except Overdue as problem:
        return Deny(f"Nobody decided within {problem.seconds:g} s whether {asked.tool.name} may run.")
    except RuntimeError as problem:  # no thread could be started
        ended = Ended(error=problem)
    if ended.error is not None:
        log.warning("approval of %s failed: the call is denied", asked.tool.name, exc_info=ended.error)
        return Deny(f"The approval of {asked.tool.name} failed ({type(ended.error).__name__}).")
    return _checked(ended.value, asked)


def _checked(answer: Any, asked: Asked) -> Decision:
    if isinstance(answer, (Allow, Deny)):
        return answer
    if not isinstance(answer, Edit):
        log.warning("approval of %s gave %r: the call is denied", asked.tool.name, answer)
        return Deny(f"The approval of {asked.tool.name} gave no decision ({type(answer).__name__}).")
    found = fit(asked.tool, answer.arguments)
    if isinstance(found, Unfit):
        log.warning("approval of %s put unfit arguments in place: the call is denied", asked.tool.name)
        return Deny(f"The arguments that were put in place do not fit. {found.message}")
    return answer
