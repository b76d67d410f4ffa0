"""What went wrong in a step, as the rows of answers say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct


class ErrorDetail(Struct, frozen=True):
    """An error as a fact."""

    type: Annotated[str, Meta(description="Its class.")]
    category: Annotated[str | None, Meta(description="timeout, rate_limit, server_error, … where one is known.")]
    message: str
    traceback: Annotated[str | None, Meta(description="Where it came from. In the details of one execution only.")]


def failure(row: Mapping[str, Any], traceback: str | None = None) -> ErrorDetail | None:
    """The error of a step's row; None when it had none."""
    if row["error_type"] is None and row["error_category"] is None and not row["error_message"]:
        return None
    return ErrorDetail(row["error_type"] or "", row["error_category"], row["error_message"] or "", traceback)
