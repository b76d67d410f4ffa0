"""Functions as tools: each call is a recorded tool call with its arguments and its result."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from tachograph.record.intent import ToolCall
from tachograph.record.step import step
from tachograph.record.wrap import wrap

Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__tachograph_tool__"
"""Attribute of a function that records its own calls: (function without that, name, classification)."""


@overload
def tool(function: Function) -> Function: ...
@overload
def tool(*, name: str | None = None, classification: str = "other") -> Callable[[Function], Function]: ...
def tool(function: Any = None, *, name: str | None = None, classification: str = "other") -> Any:
    """Record each call of a function (plain, async, generator) as a tool call.

    Arguments are recorded by parameter name, the return value as the result. `name` is the function's own by default;
    `classification` is read, write, exec, network or other.
    """

    def decorate(target: Function) -> Function:
        called = name or str(getattr(target, "__name__", type(target).__name__))
        try:
            signature: inspect.Signature | None = inspect.signature(target)
        except (ValueError, TypeError):
            signature = None  # written in C, and silent about its parameters

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            arguments: Any = {"args": args, "kwargs": kwargs}
            if signature is not None:
                # A call that does not fit is about to raise by itself; then what was passed is recorded.
                with contextlib.suppress(TypeError):
                    arguments = signature.bind(*args, **kwargs).arguments
            return step(ToolCall(called, arguments, classification=classification))

        recording = wrap(target, begin)
        # Who records the calls of its tools by itself (an agent) takes the function without this.
        setattr(recording, MARK, (target, called, classification))
        return recording

    return decorate if function is None else decorate(function)
