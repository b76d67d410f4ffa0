"""How many tokens a request would be: by its bytes, and by what the provider said of the last one.

The rule from bytes to tokens is that of the limits, which errs on the high side. Once a provider has counted a request
of the conversation that is large enough to tell, its count takes the place of the rule: so many tokens a byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from tachograph.events.chat import Message
from tachograph.events.usage import Usage
from tachograph.limits.estimate import ratio_of, tokens_of
from tachograph.providers.port import ToolSpec
from tachograph.record.prefix import bytes_of, size_of


class Load(Struct, frozen=True):
    """What one request carries."""

    messages: tuple[Message, ...]
    reminders: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()

    @property
    def beside(self) -> int:
        """Bytes of all but the conversation."""
        return size(self.reminders) + (bytes_of(self.tools) if self.tools else 0)

    @property
    def size(self) -> int:
        """Bytes, media as they are billed."""
        return self.beside + size(self.messages)


class Scale(Struct, frozen=True):
    """From the bytes of a conversation to the tokens of a request with it."""

    model: str
    beside: int
    """Bytes that go with every request."""
    tools: bool = False
    known: float | None = None
    """Tokens a byte, as a provider has counted."""

    def tokens(self, messages: Sequence[Message]) -> int:
        """Of a request with these messages."""
        return self.of(size(messages))

    def of(self, found: int) -> int:
        """Of a request whose messages have so many bytes."""
        return tokens_of(found + self.beside, self.model, tools=self.tools, known=self.known)


class Gauge(Struct, frozen=True):
    """What is known of the requests of one conversation; goes from one run of it to the next."""

    model: str = ""
    load: Load | None = None
    """The last request that was counted."""
    tokens: int = 0
    """What that came to."""
    full: float = 0.0
    """How much of the context window the fullest request took, in percent, since the conversation was made smaller."""
    futile: int = 0
    """Tokens that were left when making it smaller did not get to its mark; 0 when it did."""

    def heard(self, model: str, load: Load, usage: Usage) -> Gauge:
        """A provider has counted a request."""
        tokens = usage.input_total if usage.basis == "provider" else None
        return structs.replace(self, model=model, load=load, tokens=tokens) if tokens else self

    def refused(self, model: str, load: Load, window: int | None) -> Gauge:
        """A provider says that a request is beyond the context window: it is at least that large."""
        if window is None or self.scale(model, load).tokens(load.messages) > window:
            return self
        return structs.replace(self, model=model, load=load, tokens=window + 1)

    def scale(self, model: str, load: Load) -> Scale:
        """What measures this request, and any other form of its conversation."""
        known = None
        if self.load is not None and self.model == model:
            known = ratio_of(self.tokens, self.load.size)
        return Scale(model, load.beside, bool(load.tools), known)

    def surely_within(self, model: str, load: Load, most: int) -> bool:
        """Whether what was added since the last count cannot have passed `most`, at a token a byte. Cheap."""
        last = self.load
        if last is None or self.model != model or last.tools != load.tools:
            return False
        before = len(last.messages)
        if load.messages[:before] != last.messages:
            return False
        return self.tokens + size(load.messages[before:]) + size(load.reminders) <= most

    def smaller(self, tokens: int, window: int | None, target: int) -> Gauge:
        """The conversation was made smaller, to so many tokens; the marks of its window may be passed again."""
        full = 100 * tokens / window if window else 0.0
        return structs.replace(self, full=full, futile=0 if tokens <= target else tokens)


def size(messages: Sequence[Message]) -> int:
    """Bytes of messages, media as they are billed."""
    return sum(map(size_of, messages))
