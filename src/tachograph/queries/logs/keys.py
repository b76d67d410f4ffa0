"""Rows as a store gives them, and what names the step that one is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.events import ids

Row = Mapping[str, Any]
Key = tuple[int, int]
"""(run's pk, step)."""


def key_of(row: Row) -> Key:
    """The step that a row is about."""
    return row["run"], row["step"]


def step_of(run: str, step: int | None) -> str:
    """Id of a step of another run, which may be named by anything."""
    return ids.step_id(run, step or 0) if len(run) == _UUID_LENGTH else run


_UUID_LENGTH = 36
