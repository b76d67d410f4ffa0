"""The conditions of the list of sessions."""

from __future__ import annotations

from typing import get_args

from tachograph.queries.answers.sessions import SessionStatus
from tachograph.web.lists import ROWS, Field, words

FIELDS: tuple[Field, ...] = (
    Field(name="session_id", label="Session", kind="search", hint="a part of its id"),
    Field(name="status", label="Status", kind="choice", choices=words(*get_args(SessionStatus))),
    Field(name="user", label="User"),
    Field(name="start_date", label="Last event from (UTC)", hint="2026-01-31", is_rare=True),
    Field(name="end_date", label="Last event to (UTC)", hint="2026-01-31T12:00", is_rare=True),
    ROWS,
)  # fmt: skip
