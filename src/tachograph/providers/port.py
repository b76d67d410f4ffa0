"""The port to models: what is asked, what comes back piece by piece, and how it fails.

A whole call is a drained stream: `ModelPort.ask` yields pieces as they come and, last, the `Reply`; a model that does
not stream yields the reply alone. Whatever is no `Reply` at the end is a `ModelError`: a stream that merely stops is
never taken as complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from tachograph.events.chat import Message
from tachograph.events.usage import MISSING, Usage

Finish = Literal["stop", "tool_calls", "length", "content_filter", "refusal"]
"""Why a reply ended, in one vocabulary; the provider's own word is `Reply.raw_finish`."""


class ToolSpec(Struct, frozen=True):
    """A tool as a model is told of it."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON schema of the arguments, an object."""


class Thinking(Struct, frozen=True):
    """How much a model may think before it answers; what a provider cannot be told is left out."""

    effort: str | None = None
    """low, medium, high, or whatever the provider has."""
    budget: int | None = None
    """Tokens."""


class Params(Struct, frozen=True):
    """How a model shall answer. None leaves it to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None
    tier: str | None = None
    """Service tier."""
    parallel_tool_calls: bool | None = None
    extra: Mapping[str, Any] = {}
    """Fields of the request body that have no name here, as the provider spells them."""
    headers: Mapping[str, str] = {}


class Request(Struct, frozen=True, kw_only=True):
    """One request to a model: one attempt."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    """auto, none, required, or the name of a tool."""
    output_schema: Mapping[str, Any] | None = None
    """JSON schema that the reply's text must fit, for models that can be told."""
    max_tokens: int | None = None
    """Most tokens of output."""
    params: Params = Params()
    stream: bool = True
    timeout: float = 300.0
    """Seconds for the whole request, whatever arrives meanwhile."""
    first_content: float | None = None
    """Seconds until the first content (keep-alives are none); None: no limit but `timeout`."""
    silence: float | None = None
    """Seconds without content, after the first; None: no limit but `timeout`."""


class Rate(Struct, frozen=True):
    """What a provider's headers say is left of one of its rate limits."""

    kind: Literal["requests", "tokens"]
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    """Seconds until it is whole again."""


class Exchange(Struct, frozen=True, kw_only=True):
    """One HTTP attempt, as seen at the wire. Never a secret: no key, no query, no cookie."""

    method: str
    url: str
    """Without query and without credentials."""
    status: int | None = None
    """None when no response came."""
    request_id: str | None = None
    headers: Mapping[str, str] = {}
    """Of the response, and only those that are known to be harmless: rate limits, retry-after, processing time."""
    rates: tuple[Rate, ...] = ()
    retry_after: float | None = None
    """Seconds."""
    sent: int = 0
    """Bytes of the request's body."""
    received: int = 0
    """Bytes of the response's body, as far as it was read."""
    first_byte_ns: int | None = None
    """From sending to the response's head."""
    duration_ns: int = 0
    error: str = ""
    """Class of what ended it early."""


class TextDelta(Struct, frozen=True):
    """A piece of the reply's text."""

    text: str


class ReasoningDelta(Struct, frozen=True):
    """A piece of visible thinking."""

    text: str


class ToolDelta(Struct, frozen=True):
    """A piece of a tool call: its id and name at first, then fragments of its arguments."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


Delta = TextDelta | ReasoningDelta | ToolDelta


class Reply(Struct, frozen=True, kw_only=True):
    """What a model said, whole."""

    message: Message
    finish: Finish
    usage: Usage = MISSING
    raw_finish: str = ""
    served_model: str | None = None
    served_tier: str | None = None
    response_id: str | None = None
    reported_cost: Decimal | None = None
    """USD, as the other side says."""
    citations: tuple[str, ...] = ()
    """URLs that the provider names as sources."""
    exchanges: tuple[Exchange, ...] = ()
    """The HTTP attempts behind it: one, unless something between us repeats or redirects."""

    @property
    def exchange(self) -> Exchange | None:
        """The attempt that brought it."""
        return self.exchanges[-1] if self.exchanges else None


class ModelPort(Protocol):
    """A model that can be asked. One object may be used from several event loops and by several runs at once."""

    @property
    def provider(self) -> str:
        """openai, anthropic, google, … as prices know it."""

    @property
    def model(self) -> str:
        """The model's name as it is requested."""

    @property
    def context_window(self) -> int | None:
        """Tokens of input and output together; None when nobody knows."""

    @property
    def warning(self) -> Mapping[str, Any] | None:
        """What is doubtful about the model (its name is not known, with suggestions); None when nothing is."""

    def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """Send a request, once; pieces, then the reply. Raises ModelError; what was received is its `partial`."""

    async def close(self) -> None:
        """Let go of connections that belong to the running event loop."""
