"""Functions as tools: each call is a recorded tool call with its arguments and its result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from tachograph.record.intent import ToolCall
from tachograph.record.step import step
from tachograph.record.wrap import wrap

Function = TypeVar("Function", bound=Callable[..., Any])


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
        signature = inspect.signature(target)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            try:
                arguments: Any = signature.bind(*args, **kwargs).arguments
            except TypeError:
                # The call itself is about to raise the same error; record what was passed.
                arguments = {"args": args, "kwargs": kwargs}
            return step(ToolCall(name or target.__name__, arguments, classification=classification))

        return wrap(target, begin)

    return decorate if function is None else decorate(function)
