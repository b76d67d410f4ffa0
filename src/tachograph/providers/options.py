"""How a request shall be answered, in the settings of pydantic-ai's models: one table a wire.

What a wire cannot be told is left out: Responses takes no stop words and no seed, Anthropic no seed, OpenAI no thinking
budget. What has no name here goes into the body as the provider spells it (`extra`), and is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.providers.config import Api, ModelConfig
from tachograph.providers.port import Params, Request, Thinking

_UNSAID: Mapping[Api, frozenset[str]] = {
    "chat": frozenset(),
    "responses": frozenset({"seed", "stop_sequences"}),
    "anthropic": frozenset({"seed"}),
    "google": frozenset({"parallel_tool_calls"}),
}
"""Settings that a wire has no field for."""
_TIERS = frozenset({"auto", "default", "flex", "priority"})
_EFFORTS = frozenset({"minimal", "low", "medium", "high", "xhigh", "max"})


def merged(config: ModelConfig, params: Params) -> Params:
    """A request's parameters over those of the model's configuration."""
    return Params(
        temperature=config.temperature if params.temperature is None else params.temperature,
        top_p=params.top_p,
        seed=params.seed,
        stop=params.stop,
        thinking=params.thinking or config.thinking,
        tier=params.tier,
        parallel_tool_calls=params.parallel_tool_calls,
        extra={**config.params, **params.extra},
        headers={**config.headers, **params.headers},
    )


def settings_of(config: ModelConfig, request: Request) -> dict[str, Any]:
    """The settings of one request: what to say, how long to wait, and never to repeat."""
    params, api = merged(config, request.params), config.api
    found: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": params.seed,
        "stop_sequences": list(params.stop) or None,
        "parallel_tool_calls": params.parallel_tool_calls if request.tools else None,
        "tool_choice": _tool_choice(request),
        "extra_headers": dict(params.headers) or None,
        "extra_body": dict(params.extra) if params.extra and api != "google" else None,
        **_tier(api, params.tier),
        **_thinking(config, params.thinking),
        **_waiting(request),
        "max_retries": 0,
    }
    if api == "anthropic" and any(message.role == "system" and message.cache for message in request.messages):
        found["anthropic_cache_instructions"] = True
    return {name: value for name, value in found.items() if value is not None and name not in _UNSAID[api]}


def beside(config: ModelConfig, request: Request) -> Mapping[str, Any]:
    """What only the transport can add to the body: fields of Gemini that the library has no setting for."""
    if config.api != "google":
        return {}
    params = merged(config, request.params)
    extra = dict(params.extra)
    if params.tier and params.tier not in _TIERS:
        extra["serviceTier"] = params.tier
    return extra


def _waiting(request: Request) -> dict[str, Any]:
    """The library's own deadlines. They are the second net: the adapter has its own around them."""
    found: dict[str, Any] = {"request_timeout": request.timeout, "timeout": request.timeout}
    if request.stream and request.first_content is not None:
        found["first_event_timeout"] = request.first_content
    return found


def _tool_choice(request: Request) -> str | list[str] | None:
    if not request.tools or request.tool_choice == "auto":
        return None
    return request.tool_choice if request.tool_choice in ("none", "required") else [request.tool_choice]


def _tier(api: Api, tier: str | None) -> dict[str, Any]:
    if tier is None:
        return {}
    if api == "anthropic":
        return {"anthropic_service_tier": tier}
    if api == "google":
        return {"service_tier": tier} if tier in _TIERS else {}
    return {"openai_service_tier": tier}


def _thinking(config: ModelConfig, thinking: Thinking | None) -> dict[str, Any]:
    if thinking is None:
        return {}
    effort, budget, api = thinking.effort, thinking.budget, config.api
    if api in ("chat", "responses"):
        return {} if effort is None else {"openai_reasoning_effort": effort}
    if budget is None:
        return {"thinking": effort} if effort in _EFFORTS else {}
    if api == "google":
        return {"google_thinking_config": {"thinking_budget": budget, "include_thoughts": True}}
    found: dict[str, Any] = {"anthropic_thinking": {"type": "enabled", "budget_tokens": budget}}
    return found if effort is None else {**found, "anthropic_effort": effort}
