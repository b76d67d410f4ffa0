"""A model's answer, held to what the port promises: it comes in time, and a reply is the last of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import CancelledError
from contextlib import aclosing
from functools import partial

from tachograph.errors import ModelError
from tachograph.providers.loop_thread import shared
from tachograph.providers.port import Delta, ModelPort, Reply, Request

log = logging.getLogger("tachograph")

_GRACE = 0.1
"""Seconds that a model has beyond the request's own, to say by itself that they are over."""


async def pieces(port: ModelPort, request: Request) -> AsyncGenerator[Delta | Reply, None]:
    """Ask once: pieces as they come, then the reply. Closed early, it ends the request.

    Raises ModelError, and whatever else the model raises.
    """
    until = asyncio.get_running_loop().time() + request.timeout + _GRACE
    stream, begun = port.ask(request), False
    try:
        while True:
            piece = await _next(port, stream, request, until, begun=begun)
            yield piece
            begun = True
            if isinstance(piece, Reply):
                return
    finally:
        await _closed(stream)


async def whole(port: ModelPort, request: Request) -> Reply:
    """The reply, when it is there. Raises as `pieces`."""
    async with aclosing(pieces(port, request)) as answer:
        async for piece in answer:
            if isinstance(piece, Reply):
                return piece
    raise AssertionError("the last piece is a reply")


def waited(port: ModelPort, request: Request) -> Reply:
    """As `whole`, for code that cannot await, inside a running event loop or not; see `loop_thread`."""
    try:
        return shared().call(partial(whole, port, request))
    except CancelledError as error:
        raise _error(port, "cancelled", "it was called off before the reply was there") from error


async def _next(
    port: ModelPort, stream: AsyncIterator[Delta | Reply], request: Request, until: float, *, begun: bool
) -> Delta | Reply:
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            return await anext(stream)
    except StopAsyncIteration:
        raise _error(port, "network", "it ended without a reply", begun=begun) from None
    except TimeoutError as error:
        if not limit.expired():
            raise  # the model's own
        raise _error(port, "timeout", f"no whole reply within {request.timeout:g} s", begun=begun) from error


async def _closed(stream: AsyncIterator[Delta | Reply]) -> None:
    close = getattr(stream, "aclose", None)
    try:
        if close is not None:
            await close()
    except Exception:  # what was said is not lost because tidying up failed
        log.warning("a model's stream could not be closed", exc_info=True)


def _error(port: ModelPort, category: str, message: str, *, begun: bool = False) -> ModelError:
    return ModelError(category, message, provider=port.provider, model=port.model, in_stream=begun)
