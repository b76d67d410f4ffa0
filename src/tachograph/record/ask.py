"""What a model request asks for, and whether it was taken, as far as its parameters and its error tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tachograph.errors import ModelError
from tachograph.events.call import turned_away
from tachograph.events.run import Status
from tachograph.record.intent import LLMCall

_NAMES: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens", "num_predict")
_INSIDE: Final = frozenset({"generationConfig", "generation_config", "config", "options", "inferenceConfig"})
"""Where some providers keep their parameters."""
_COPIES: Final = frozenset({"n", "best_of", "candidateCount", "candidate_count"})
"""How many replies are asked for: each may be as long."""
_TOLD: Final = frozenset({*_NAMES, *_INSIDE, *_COPIES})
_WITHOUT_OUTPUT: Final = frozenset({"embedding", "moderation", "rerank"})


def most_output(call: LLMCall) -> tuple[int | None, int]:
    """Most tokens of output that a request allows a reply (None: it does not say), and how many replies it asks for."""
    if call.operation in _WITHOUT_OUTPUT:
        return 0, 1
    stated, params = _count(call.max_output), call.params
    if not isinstance(params, Mapping) or _TOLD.isdisjoint(params):
        return stated, 1
    if not _INSIDE.isdisjoint(params):
        inside = (params[name] for name in _INSIDE if isinstance(params.get(name), Mapping))
        params = {**{name: value for one in inside for name, value in one.items()}, **params}
    if stated is None:
        stated = next((found for name in _NAMES if (found := _count(params.get(name))) is not None), None)
    if _COPIES.isdisjoint(params):
        return stated, 1
    return stated, max(1, *(_count(params.get(name)) or 1 for name in _COPIES))


def was_refused(sent: bool | None, status: Status, http_status: Any, error: BaseException | None) -> bool:
    """Whether a request certainly cost nothing: it never left, or the provider answered that it does not take it."""
    if sent is not None:
        return not sent
    if status != "failed":
        return False
    if isinstance(error, ModelError):
        return error.safe
    code = http_status if isinstance(http_status, int) else getattr(error, "status_code", None)
    return isinstance(code, int) and turned_away(code)


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
