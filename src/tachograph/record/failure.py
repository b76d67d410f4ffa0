"""An exception as a fact: its class, its message, where it came from. Total: no exception can break it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from tachograph.errors import LimitExceeded, ModelError
from tachograph.events.run import STOP_REASONS, Failure, Status, stop_reason_allowed

_MESSAGE_CHARS = 4_000
_TRACE_CHARS = 8_000
_LOOKED_AT = 64_000
"""Secrets are masked before a text is cut to size, so that no cut leaves half of one."""
_CATEGORIES: tuple[tuple[type[BaseException], str], ...] = (
    (LimitExceeded, "budget"),
    (TimeoutError, "timeout"),
    (ConnectionError, "network"),
    (PermissionError, "auth"),
)


def failure_of(error: BaseException, mask: Callable[[str], str], *, content: bool = True) -> Failure:
    """The failure an exception stands for; `mask` removes secrets. Without `content` only its class is kept."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return Failure(
        type=name,
        message=mask(_text(error))[:_MESSAGE_CHARS] if content else "",
        category=category_of(error),
        traceback=mask(_trace(error))[-_TRACE_CHARS:] if content and isinstance(error, Exception) else None,
    )


def category_of(error: BaseException) -> str:
    """timeout, network, auth, budget, cancelled, whatever a ModelError says; empty when the class does not tell."""
    if not isinstance(error, Exception):
        return "cancelled"
    if isinstance(error, ModelError):
        return error.category
    return next((category for kind, category in _CATEGORIES if isinstance(error, kind)), "")


def status_of(error: BaseException | None) -> Status:
    """How a step ends: what is no `Exception` (cancellation, generator close, interrupt, exit) cancels it."""
    if error is None:
        return "completed"
    return "failed" if isinstance(error, Exception) else "cancelled"


def stop_reason_of(error: BaseException | None) -> str:
    """Why a run ends, as far as an exception tells."""
    if isinstance(error, LimitExceeded):
        return error.metric if error.metric in STOP_REASONS["failed"] else "quota"
    if isinstance(error, ModelError):
        return "provider_error"
    if isinstance(error, KeyboardInterrupt):
        return "signal"
    if isinstance(error, Exception):
        return "internal_error"
    return "user_cancel" if error is not None and type(error).__name__ == "CancelledError" else ""


def reason_for(status: Status, error: BaseException | None) -> str:
    """Why a run ends so, as far as an exception tells and the status allows."""
    reason = stop_reason_of(error)
    return reason if stop_reason_allowed(status, reason) else ""


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as problem:  # noqa: BLE001 - an exception whose text raises is still a failure to record
        text = f"<{type(problem).__name__} in str()>"
    return _valid(text[:_LOOKED_AT])


def _trace(error: BaseException) -> str:
    try:
        lines = "".join(traceback.format_exception(error, limit=-12))
    except Exception as problem:  # noqa: BLE001 - see _text
        lines = f"<{type(problem).__name__} while formatting>"
    return _valid(lines[-_LOOKED_AT:])


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
