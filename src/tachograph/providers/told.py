"""What is recorded of a request to a model and of what came of it, in the words of the door."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from tachograph.errors import ModelError
from tachograph.events.usage import Usage
from tachograph.providers.config import ModelConfig
from tachograph.providers.options import merged
from tachograph.providers.port import Exchange, ModelPort, Reply, Request


class Call(Protocol):
    """A model call that is being recorded, as far as it is told things here."""

    usage: Usage | None
    finish_reason: str | None
    served_model: str | None
    served_tier: str | None
    response_id: str | None
    request_id: str | None
    http_status: int | None
    reported_cost: Decimal | None
    metadata: Any
    sent: bool | None


def params_of(port: ModelPort, request: Request) -> dict[str, Any]:
    """Everything that is sent beside messages and tools. Header values may be secrets: their names alone are told."""
    config = getattr(port, "config", None)
    params = merged(config, request.params) if isinstance(config, ModelConfig) else request.params
    told: Mapping[str, Any] = {
        "max_tokens": request.max_tokens, "temperature": params.temperature, "top_p": params.top_p,
        "seed": params.seed, "stop": list(params.stop) or None, "service_tier": params.tier,
        "parallel_tool_calls": params.parallel_tool_calls,
        "thinking": None if params.thinking is None else msgspec.to_builtins(params.thinking),
        "tool_choice": request.tool_choice if request.tools else None,
        "output_schema": request.output_schema, "headers": sorted(params.headers) or None, **params.extra,
    }  # fmt: skip
    return {name: value for name, value in told.items() if value is not None}


def replied(call: Call, reply: Reply) -> None:
    """Tell a call what its reply says, but for the message itself."""
    call.usage, call.finish_reason = reply.usage, reply.raw_finish or reply.finish
    call.served_model, call.served_tier = reply.served_model, reply.served_tier
    call.response_id, call.reported_cost = reply.response_id, reply.reported_cost
    if reply.citations:
        call.metadata = {**_facts(call), "citations": list(reply.citations)}
    _wire(call, reply.exchanges)


def failed(call: Call, error: ModelError) -> Reply | None:
    """Tell a call how it failed; the reply as far as it came."""
    partial = error.partial if isinstance(error.partial, Reply) else None
    if partial is not None:
        call.usage, call.served_model, call.response_id = partial.usage, partial.served_model, partial.response_id
    call.sent = not error.safe
    _wire(call, tuple(one for one in error.exchanges if isinstance(one, Exchange)))
    if call.http_status is None:
        call.http_status = error.status
    return partial


def _wire(call: Call, exchanges: tuple[Exchange, ...]) -> None:
    """What was seen at the wire."""
    if exchanges:
        last = exchanges[-1]
        call.request_id, call.http_status = last.request_id, last.status
        call.metadata = {**_facts(call), "http": [msgspec.to_builtins(one) for one in exchanges]}


def _facts(call: Call) -> Mapping[str, Any]:
    """The metadata that a call has; what is no mapping stands under a name of its own."""
    said = call.metadata
    return said if isinstance(said, Mapping) else {} if said is None else {"metadata": said}
