"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

from typing import Annotated

import typer

from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries.period import Period, moment

Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Only what started at or after: 7d, 12h, 45m ago, or an ISO date or time."
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="Only what started before; as --since.", show_default=False),
]
Project = Annotated[str | None, typer.Option("--project", help="Only runs with the tag project:NAME.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Only runs of this agent.")]
Session = Annotated[str | None, typer.Option("--session", help="Only runs of this conversation.")]
Status = Annotated[
    str | None,
    typer.Option("--status", help="Only runs that are started, paused, completed, failed, cancelled or abandoned."),
]


_BEYOND = 1 << 63
"""No time that a store can hold."""


def when(terminal: Terminal, option: str, text: str | None) -> int | None:
    """UTC nanoseconds of what an option says. Raises SettingsError."""
    if text is None:
        return None
    try:
        found = moment(text, terminal.clock.now())
    except (ValueError, OverflowError):
        found = _BEYOND
    if abs(found) >= _BEYOND:
        raise SettingsError(option, text, "7d, 12h or 45m ago, or an ISO date or time such as 2026-11-21")
    return found


def period(terminal: Terminal, since: str | None, until: str | None) -> Period:
    """The period that --since and --until name. Raises SettingsError."""
    return Period(when(terminal, "--since", since), when(terminal, "--until", until))


def positive(option: str, number: int) -> int:
    """A count that makes sense. Raises SettingsError."""
    if number < 1:
        raise SettingsError(option, number, "at least 1")
    return number
