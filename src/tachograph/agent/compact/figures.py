"""How full a conversation is: the tokens its requests took, against what the model can hold.

A request holds the whole conversation, so its input is that of the last request; output adds up over all of them, or
over those since the conversation was made smaller.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

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
        self._output_since = 0
        self.cumulative_output_tokens = 0
        """Output of all requests."""
        self.cumulative_cached_tokens = 0
        """Input of all requests that was read from a cache."""
        self.cumulative_cache_creation_tokens = 0
        """Input of all requests that was written to one."""

    def add(self, spent: Usage, last: Usage, compacted: Metrics | None = None) -> None:
        """A run is over: what all its attempts used, what the last reply did, and the last compaction in it."""
        self.cumulative_output_tokens += spent.output or 0
        self._output_since += spent.output or 0
        if compacted is not None and compacted.changed:
            self._last = Usage(input_uncached=compacted.compressed_tokens, basis="estimated")
            self._output_since = last.output or 0
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
        """Input of the last request, and output of all since the conversation was made smaller, or begun."""
        return self.cumulative_input_tokens + self._output_since

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


class Metrics(Struct, frozen=True, kw_only=True):
    """What one compaction came to. Tokens are those of the next request, by the same measure before and after."""

    original_message_count: int = 0
    compressed_message_count: int = 0
    original_tokens: int = 0
    compressed_tokens: int = 0
    messages_summarized: int = 0
    messages_pruned: int = 0
    steps: tuple[str, ...] = ()
    """What was done: prune, summarise, window."""
    problems: tuple[str, ...] = ()
    """What did not work; the next step took its place."""
    time_taken: float = 0.0
    """Seconds."""

    @property
    def changed(self) -> bool:
        """Whether the conversation is another now."""
        return bool(self.steps)

    @property
    def messages_removed(self) -> int:
        """How many messages there are less."""
        return self.original_message_count - self.compressed_message_count

    @property
    def tokens_removed(self) -> int:
        """How many tokens there are less."""
        return self.original_tokens - self.compressed_tokens

    @property
    def compression_ratio(self) -> float:
        """Tokens after, of those before: 0.25 is a quarter of them."""
        return round(self.compressed_tokens / self.original_tokens, 4) if self.original_tokens else 1.0

    @property
    def summary(self) -> str:
        """In one line."""
        done = ", ".join(self.steps) or "nothing done"
        return (
            f"{self.original_tokens} → {self.compressed_tokens} tokens, {self.original_message_count} → "
            f"{self.compressed_message_count} messages ({done}; {self.time_taken:.2f} s)"
        )
