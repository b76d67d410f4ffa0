"""A function, each call of which is a run or a step: plain, async, generator or async generator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
Begin = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""(positional, named arguments of the call) → a fresh run or step."""


def wrap(function: Function, begin: Begin) -> Function:
    """`function` with each call inside a fresh context manager from `begin`.

    A return value becomes the step's `output` where none was set; what a generator yields does not.
    """
    if inspect.isasyncgenfunction(function):
        wrapper: Any = _async_generator(function, begin)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, begin)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, begin)
    else:
        wrapper = _plain(function, begin)
    return functools.wraps(function)(wrapper)  # type: ignore[return-value]


def _plain(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as step:
            result = function(*args, **kwargs)
            if step.output is None:
                step.output = result
            return result

    return call


def _coroutine(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as step:
            result = await function(*args, **kwargs)
            if step.output is None:
                step.output = result
            return result

    return call


def _generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with begin(args, kwargs) as step:
            result = yield from function(*args, **kwargs)
            if step.output is None:
                step.output = result
            return result

    return call


def _async_generator(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with begin(args, kwargs):
            async with aclosing(function(*args, **kwargs)) as inner:
                # There is no `yield from` for async generators: what is sent and thrown in is handed on by hand.
                try:
                    item = await anext(inner)
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 - handed on whole
                            item = await inner.athrow(error)
                        else:
                            item = await inner.asend(sent)
                except StopAsyncIteration:
                    return

    return call
