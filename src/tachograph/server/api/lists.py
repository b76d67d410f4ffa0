"""What runs have in common: tool calls, limits that were reached, and what was said in them."""

from __future__ import annotations

from tachograph.queries.answers.hits import SearchAsked, SearchHits, search_hits
from tachograph.queries.answers.limits import LimitsAsked, ReachedLimits, limits
from tachograph.queries.answers.tool_calls import ToolCalls, ToolCallsAsked, tool_calls
from tachograph.server.endpoint import Ask, Endpoint


def _tool_calls(ask: Ask) -> ToolCalls:
    return tool_calls(ask.store, ask.asked)


def _limits(ask: Ask) -> ReachedLimits:
    return limits(ask.store, ask.asked)


def _search(ask: Ask) -> SearchHits:
    return search_hits(ask.store, ask.asked)


ENDPOINTS = (
    Endpoint(
        name="list_tool_calls", path="/api/tool-calls", tag="tool calls", handler=_tool_calls, asks=ToolCallsAsked,
        gives=ToolCalls, about="Tool calls, newest first. With the beginning of their arguments and results.",
    ),
    Endpoint(
        name="list_limits", path="/api/limits", tag="limits", handler=_limits, asks=LimitsAsked, gives=ReachedLimits,
        about="Limits that were reached, newest first. What was done about each, and the evidence.",
    ),
    Endpoint(
        name="search", path="/api/search", tag="search", handler=_search, asks=SearchAsked, gives=SearchHits,
        about="Messages that contain a text, in any case. Those of the newest runs first, with the words around it.",
    ),
)  # fmt: skip
