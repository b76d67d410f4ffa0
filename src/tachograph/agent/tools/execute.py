"""One tool call, run so that control always comes back in time and something can be said to the model in any case."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec

from tachograph.agent.pace.bounded import (
    GRACE,
    MOST_ITEMS,
    Ended,
    Items,
    Overdue,
    bounded,
    in_thread,
    is_async,
    outcome,
)
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.errors import ToolError
from tachograph.events.chat import Media, Part, Text
from tachograph.record.spell import valid_text

log = logging.getLogger("tachograph.agent")

NOTHING = "Done; the tool returned nothing."
MOST_ERROR = 4_000
"""Longest text of an exception that a model is told."""


@dataclass(frozen=True)
class Ran:
    """What came of a call."""

    state: Literal["completed", "failed", "cancelled", "abandoned"]
    """cancelled: it was stopped, or never began; abandoned: it may still be running."""
    content: str | tuple[Part, ...]
    """What the model is told."""
    error: BaseException | None = None
    """What it raised, or TimeoutError."""


Late = Callable[[Ran], object]


async def execute(
    tool: Tool, arguments: Mapping[str, Any], context: ToolContext, seconds: float | None, *, late: Late
) -> Ran:
    """Run a tool with prepared arguments, for at most so many seconds and no longer than its own timeout.

    Control is back within 250 ms of that, or of the caller's cancellation, which passes on. What the tool raises is an
    outcome, never an exception. `late` is called, maybe from another thread, with what came of a call when nobody
    waited for it any more.
    """
    left = tool.timeout if seconds is None else min(seconds, tool.timeout)
    if left <= 0:
        return _overdue(tool, Overdue(0, "waiting"))
    call = partial(tool.function, **{**arguments, **dict.fromkeys(tool.injected, context)})
    clock = asyncio.get_running_loop().time
    until = clock() + left + GRACE
    try:
        ended = await _run(tool, call, left, partial(_late, late))
        if clock() > until:  # it held the event loop up, and is too late although nobody could say so in time
            _late(late, ended)
            return _overdue(tool, Overdue(left, "left"))
        return _ran(ended)
    except Overdue as problem:
        return _overdue(tool, Overdue(left, problem.how))
    except RuntimeError as problem:  # no thread could be started
        return _failed(problem)


async def _run(tool: Tool, call: Callable[[], Any], seconds: float, late: Callable[[Any], None]) -> Ended:
    if is_async(tool.function):
        return await bounded(outcome(call), seconds, late=late)
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    stop = threading.Event()
    try:
        ended = await in_thread(partial(_called, call, stop), seconds, late=late)
    finally:
        stop.set()
    if inspect.isawaitable(ended.value) or hasattr(ended.value, "__anext__"):
        return await bounded(outcome(lambda: ended.value), end - clock(), late=late)
    return ended


def _called(call: Callable[[], Any], stop: threading.Event) -> Any:
    """In the tool's thread: its result, made ready there too."""
    value = call()
    if isinstance(value, Generator):
        return _rendered(_drained(value, stop))
    return value if inspect.isawaitable(value) or hasattr(value, "__anext__") else _rendered(value)


def _drained(items: Generator[Any, Any, Any], stop: threading.Event) -> Items:
    found = Items()
    try:
        for item in items:
            found.append(item)
            if len(found) >= MOST_ITEMS or stop.is_set():
                break
    finally:
        items.close()
    return found


# ---- what the model is told -----------------------------------------------------------------------------------------


def _ran(ended: Ended) -> Ran:
    if ended.error is not None:
        return _failed(ended.error)
    if isinstance(ended.value, _Rendered):
        return Ran("completed", ended.value.content)
    try:
        return Ran("completed", _rendered(ended.value).content)
    except Exception as problem:  # noqa: BLE001 - a value of the tool's own that cannot even be shown
        return _failed(problem)


def _failed(error: BaseException) -> Ran:
    return Ran("failed", told(error), error)


def told(error: BaseException) -> str:
    """An exception in words for a model: `Type: message`, never a stack trace; of a ToolError its message alone."""
    try:
        said = valid_text(str(error)).strip()
    except Exception:  # noqa: BLE001 - what cannot say what it is is named by its type
        said = ""
    if len(said) > MOST_ERROR:
        said = f"{said[:MOST_ERROR]} [cut, {len(said)} characters]"
    if isinstance(error, ToolError):
        return said or "The tool failed and gave no reason."
    name = type(error).__name__
    return f"{name}: {said}" if said else name


def _overdue(tool: Tool, problem: Overdue) -> Ran:
    after = f"{tool.name} did not finish within {problem.seconds:g} s"
    if problem.how == "left":
        said = f"{after}. It may still be running; a result that comes later is not used."
        return Ran("abandoned", said, problem)
    if problem.how == "stopped":
        return Ran("cancelled", f"{after} and was stopped. What it had begun may be half done.", problem)
    return Ran("cancelled", f"{tool.name} was not begun: no time was left for it ({problem.seconds:g} s).", problem)


@dataclass(frozen=True)
class _Rendered:
    content: str | tuple[Part, ...]


def _rendered(value: Any) -> _Rendered:
    if isinstance(value, Items) and all(isinstance(item, str) for item in value):
        value = "".join(value) or None
    if value is None:
        return _Rendered(NOTHING)
    if isinstance(value, str):
        return _Rendered(valid_text(str.__str__(value)))
    if isinstance(value, (Text, Media)):
        return _Rendered((value,))
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Text, Media)) for item in value):
        return _Rendered(tuple(item if isinstance(item, (Text, Media)) else Text(_as_text(item)) for item in value))
    return _Rendered(_as_text(value))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, (bytes, bytearray)):
        return valid_text(bytes(value).decode("utf-8", "replace"))
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, RecursionError):
        return valid_text(str(value))


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _late(late: Late, ended: Any) -> None:
    if isinstance(ended, BaseException):
        ended = Ended(error=ended)
    if inspect.iscoroutine(ended.value):
        ended.value.close()  # it was never begun, and is not now
        return
    late(_ran(ended))
