"""How full a conversation is: the tokens its requests took, against what the model can hold.

A request holds the whole conversation, so its input is that of the last request; output adds up over all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from tachograph.events.usage import MISSING, Usage

WARN_AT = (60.0, 80.0, 90.0)
"""Percentages of the context window that are told of when they are first passed."""


class Context:
    """The figures of one conversation. Tokens that nobody counted add nothing."""

    def __init__(self, window: Callable[[], int | None]) -> None:
        self._window = window
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._last = MISSING
        self.cumulative_output_tokens = 0
        """Output of all requests."""
        self.cumulative_cached_tokens = 0
        """Input of all requests that was read from a cache."""
        self.cumulative_cache_creation_tokens = 0
        """Input of all requests that was written to one."""

    def add(self, spent: Usage, last: Usage) -> None:
        """A run is over: what all its attempts used, and what the last reply did."""
        self.cumulative_output_tokens += spent.output or 0
        self.cumulative_cached_tokens += spent.cache_read or 0
        self.cumulative_cache_creation_tokens += spent.cache_write or 0
        if last.basis != "missing":
            self._last = last

    @property
    def context_limit(self) -> int | None:
        """Tokens the model can hold; None when nobody knows."""
        return self._window()

    @property
    def cumulative_input_tokens(self) -> int:
        """Input of the last request: the conversation so far."""
        return self._last.input_total or 0

    @property
    def effective_input_tokens(self) -> int:
        """Input of the last request that no cache had; never less than 0."""
        return max(0, self.cumulative_input_tokens - (self._last.cache_read or 0))

    @property
    def cumulative_total_tokens(self) -> int:
        """Input of the last request, and output of all."""
        return self.cumulative_input_tokens + self.cumulative_output_tokens

    @property
    def context_usage_percentage(self) -> float:
        """How full it is, rounded to two places; 0 when the limit is not known."""
        limit = self.context_limit
        return round(100 * self.cumulative_total_tokens / limit, 2) if limit else 0.0

    @property
    def tokens_remaining(self) -> int | None:
        """What is left of the limit; None when that is not known."""
        limit = self.context_limit
        return None if limit is None else max(0, limit - self.cumulative_total_tokens)


def passed(before: float, after: float) -> tuple[float, ...]:
    """The percentages of WARN_AT that lie above `before` and not above `after`."""
    return tuple(mark for mark in WARN_AT if before < mark <= after)
