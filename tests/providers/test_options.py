"""Every field of a configuration and of a request reaches the provider, on each wire that has a place for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.events.chat import user
from tachograph.providers.config import ModelConfig
from tachograph.providers.options import beside, merged, settings_of
from tachograph.providers.port import Params, Request, Thinking, ToolSpec
from tests.providers.asking import ask, port, request
from tests.providers.replay_server import Answer, ReplayServer

pytestmark = pytest.mark.anyio

SEVERAL = (ToolSpec("lookup"), ToolSpec("other"))
REFUSED = Answer([b'{"error": {"message": "enough"}}'], 400, [("content-type", "application/json")], chunked=False)
"""What was sent is all that counts here."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"params": Params(temperature=0.25)},
    "top_p": {"params": Params(top_p=0.5)},
    "seed": {"params": Params(seed=7)},
    "stop": {"params": Params(stop=("END",))},
    "tier": {"params": Params(tier="flex")},
    "parallel_tool_calls": {"params": Params(parallel_tool_calls=False)},
    "effort": {"params": Params(thinking=Thinking("low"))},
    "budget": {"params": Params(thinking=Thinking(budget=2048))},
    "extra": {"params": Params(extra={"beta_field": {"a": 1}})},
    "max_tokens": {"max_tokens": 99},
    "tool_choice": {"tool_choice": "required"},
    "one tool": {"tool_choice": "lookup"},
    "no tool": {"tool_choice": "none"},
}
"""What is asked for."""
PLACES: Mapping[str, Mapping[str, tuple[str, Any]]] = {
    "chat": {
        "temperature": ("temperature", 0.25), "top_p": ("top_p", 0.5), "seed": ("seed", 7), "stop": ("stop", ["END"]),
        "tier": ("service_tier", "flex"), "parallel_tool_calls": ("parallel_tool_calls", False),
        "effort": ("reasoning_effort", "low"), "extra": ("beta_field", {"a": 1}),
        "max_tokens": ("max_completion_tokens", 99), "tool_choice": ("tool_choice", "required"),
        "one tool": ("tool_choice", {"type": "function", "function": {"name": "lookup"}}),
        "no tool": ("tool_choice", "none"),
    },
    "responses": {
        "temperature": ("temperature", 0.25), "top_p": ("top_p", 0.5), "tier": ("service_tier", "flex"),
        "parallel_tool_calls": ("parallel_tool_calls", False), "effort": ("reasoning.effort", "low"),
        "extra": ("beta_field", {"a": 1}), "max_tokens": ("max_output_tokens", 99),
        "tool_choice": ("tool_choice", "required"),
        "one tool": ("tool_choice", {"type": "function", "name": "lookup"}), "no tool": ("tool_choice", "none"),
    },
    "anthropic": {
        "temperature": ("temperature", 0.25), "top_p": ("top_p", 0.5), "stop": ("stop_sequences", ["END"]),
        "tier": ("service_tier", "flex"),
        "parallel_tool_calls": ("tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
        "budget": ("thinking.budget_tokens", 2048), "extra": ("beta_field", {"a": 1}), "max_tokens": ("max_tokens", 99),
        "tool_choice": ("tool_choice", {"type": "any"}),
        "one tool": ("tool_choice", {"type": "tool", "name": "lookup"}), "no tool": ("tool_choice", {"type": "none"}),
    },
    "gemini": {
        "temperature": ("generationConfig.temperature", 0.25), "top_p": ("generationConfig.topP", 0.5),
        "seed": ("generationConfig.seed", 7), "stop": ("generationConfig.stopSequences", ["END"]),
        "tier": ("serviceTier", "flex"), "effort": ("generationConfig.thinkingConfig.thinking_level", "LOW"),
        "budget": ("generationConfig.thinkingConfig.thinking_budget", 2048), "extra": ("beta_field", {"a": 1}),
        "max_tokens": ("generationConfig.maxOutputTokens", 99),
        "tool_choice": ("toolConfig.functionCallingConfig.mode", "ANY"),
        "one tool": ("toolConfig.functionCallingConfig.allowedFunctionNames", ["lookup"]),
        "no tool": ("toolConfig.functionCallingConfig.mode", "NONE"),
    },
}  # fmt: skip
"""Where each wire says it, and how."""
UNSAID = {
    ("chat", "budget"), ("responses", "budget"), ("responses", "seed"), ("responses", "stop"), ("anthropic", "seed"),
    ("anthropic", "effort"), ("gemini", "parallel_tool_calls"),
}  # fmt: skip
"""What a wire has no place for; the effort goes to those models of Anthropic that take one."""
MODELS = {"anthropic": "claude-3-haiku", "gemini": "gemini-3.8-flash"}


@pytest.fixture
def anyio_backend() -> str:
    """The adapter lives on asyncio."""
    return "asyncio"


def at(body: Any, path: str) -> Any:
    """What stands at a dotted path."""
    return reduce(lambda inner, key: inner.get(key) if isinstance(inner, dict) else None, path.split("."), body)


def test_every_field_has_a_place_on_every_wire() -> None:
    """Or stands in the list of those that have none."""
    for wire, places in PLACES.items():
        assert places.keys() | {name for one, name in UNSAID if one == wire} == FIELDS.keys()
        assert not any((wire, name) in UNSAID for name in places)


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("wire", PLACES)
async def test_a_field_is_sent(wire: str, name: str, provider_server: ReplayServer) -> None:
    """At its place, with its value; where a wire has none, the request is sent without it."""
    mount = f"{wire}-fields"
    seen = provider_server.play(mount, REFUSED)
    asked = port(wire, provider_server.url(mount), MODELS.get(wire, "m"))
    came = await ask(asked, request(stream=True, **{"tools": SEVERAL, **FIELDS[name]}))
    await asked.close()
    assert came.error is not None
    assert "enough" in str(came.error)
    if (wire, name) not in UNSAID:
        place, value = PLACES[wire][name]
        assert at(seen[0].body, place) == value


NAMES = st.text("abcdefgh", min_size=3, max_size=6).map(lambda name: f"x_{name}")
VALUES = st.integers(-9, 9) | st.text("xyz", max_size=4) | st.booleans() | st.lists(st.integers(0, 3), max_size=3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wire=st.sampled_from(sorted(PLACES)),
    params=st.dictionaries(NAMES, VALUES, max_size=4),
    extra=st.dictionaries(NAMES, VALUES, max_size=4),
    headers=st.dictionaries(NAMES.map(lambda name: name.replace("_", "-")), st.text("abc", min_size=1), max_size=3),
    temperature=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_configuration_is_sent(
    wire: str,
    params: dict[str, Any],
    extra: dict[str, Any],
    headers: dict[str, str],
    temperature: float | None,
    provider_server: ReplayServer,
) -> None:
    """Fields and headers of any name arrive, those of the request over those of the configuration."""
    mount = f"{wire}-any"
    seen = provider_server.play(mount, REFUSED)

    async def once() -> None:
        asked = port(
            wire,
            provider_server.url(mount),
            MODELS.get(wire, "m"),
            params=params,
            headers=headers,
            temperature=temperature,
        )
        await ask(asked, request(stream=True, params=Params(extra=extra)))
        await asked.close()

    asyncio.run(once())
    body = seen[0].body
    assert {name: body.get(name) for name in {**params, **extra}} == {**params, **extra}
    assert {name: seen[0].headers.get(name) for name in headers} == headers
    where = PLACES[wire]["temperature"][0]
    assert at(body, where) == temperature


def config(**changes: Any) -> ModelConfig:
    """A model of OpenAI, with changes."""
    return ModelConfig(**{"model": "m", "provider": "openai", **changes})


def test_a_request_counts_more_than_the_configuration() -> None:
    """Field by field; mappings are merged."""
    made = config(temperature=0.5, params={"a": 1, "b": 1}, headers={"h": "1"}, thinking=Thinking("low"))
    asked = Params(temperature=0.0, extra={"b": 2}, headers={"i": "2"}, seed=3)
    assert merged(made, asked) == Params(
        temperature=0.0, seed=3, thinking=Thinking("low"), extra={"a": 1, "b": 2}, headers={"h": "1", "i": "2"}
    )


def test_every_request_has_deadlines_and_no_second_attempt() -> None:
    """In total and for each piece; for the first content of streams alone."""
    said = settings_of(config(), Request(messages=(user("a"),), timeout=9.0, first_content=2.0))
    assert said == {"request_timeout": 9.0, "timeout": 9.0, "first_event_timeout": 2.0, "max_retries": 0}
    said = settings_of(config(), Request(messages=(user("a"),), timeout=9.0, first_content=2.0, stream=False))
    assert said == {"request_timeout": 9.0, "timeout": 9.0, "max_retries": 0}


def test_only_gemini_needs_the_transports_help() -> None:
    """Its library has no way to send fields that it does not know."""
    asked = Request(messages=(user("a"),), params=Params(extra={"x": 1}, tier="own"))
    assert beside(config(), asked) == {}
    assert beside(config(provider="google"), asked) == {"x": 1, "serviceTier": "own"}
