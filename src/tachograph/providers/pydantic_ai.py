"""The adapter over pydantic-ai's model layer: its models and messages, under our own request, reply and errors.

Only this module imports that library, and only when a model is first asked, in a thread. Its rules: every request has
a deadline in total, for its first content and for silence; nothing is sent twice; a reply without a reason for its end
is no reply; one client an event loop, closed with the model or with the loop. What the raw bytes say (usage, finish,
ids, price) is read from them (`tap`, `body`); text, reasoning and tool calls are taken from the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import re
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import httpx2

from tachograph.errors import MissingExtra
from tachograph.events.usage import Usage
from tachograph.providers import catalogue
from tachograph.providers.body import BROKEN, Seen, finish_of, seen
from tachograph.providers.config import ModelConfig
from tachograph.providers.faults import Incomplete, category, failure, told
from tachograph.providers.options import beside, settings_of
from tachograph.providers.port import Delta, ReasoningDelta, Reply, Request, TextDelta, ToolDelta
from tachograph.providers.tap import Collector, Tap, collecting
from tachograph.providers.transcript import Transcript, arguments_of
from tachograph.record.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers import Provider

_T = TypeVar("_T")

_PACKAGES: Mapping[str, str] = {
    "chat": "openai", "responses": "openai", "anthropic": "anthropic", "google": "google.genai",
}  # fmt: skip
"""Wire → the provider's package that it needs."""
_NEVER = "\x00"
"""A tag that no text has: the library shall not look for thinking inside of text."""
_UNNAMED = re.compile(r"[^a-zA-Z0-9_-]")
_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)


class PydanticModel:
    """A `ModelPort` over pydantic-ai. May be asked from several event loops and by several runs at once."""

    def __init__(self, config: ModelConfig, key: str, *, clock: Clock = SYSTEM) -> None:
        """Nothing is loaded or opened yet. Raises MissingExtra when a package is not installed."""
        for package in ("pydantic_ai", _PACKAGES[config.api]):
            if not _is_installed(package):
                raise MissingExtra(f"asking {config.provider}", package, "agents")
        self.config, self._key, self._clock = config, key, clock
        self._bound: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bound] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Its configuration, which shows no key."""
        return f"PydanticModel({self.config!r})"

    @property
    def provider(self) -> str:
        """As prices know it."""
        return self.config.provider

    @property
    def model(self) -> str:
        """As it is requested."""
        return self.config.model

    @cached_property
    def context_window(self) -> int | None:
        """Tokens of input and output together; None when nobody knows."""
        return catalogue.context_window(self.config)

    @cached_property
    def warning(self) -> Mapping[str, Any] | None:
        """`{model, provider, message, suggestions}` of a name that the catalogue does not know; None when it does."""
        return catalogue.warning_of(self.config)

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """Send a request, once; pieces, then the reply. Raises ModelError.

        Without `stream` the reply alone comes; `first_content` and `silence` then do not count. Closing the iterator
        early ends the request.
        """
        google = self.config.api == "google"
        collector = Collector(self._clock, beside(self.config, request), uncommented=google, secret=self._key)
        asking = _Asking(self.config, request, collector)
        async with aclosing(asking.pieces(self._binding)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Close the connections that belong to the running event loop."""
        with self._lock:
            bound = self._bound.pop(asyncio.get_running_loop(), None)
        if bound is not None:
            await bound.keeper.aclose()

    async def _binding(self) -> _Bound:
        """Client and model of the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for other in [other for other in self._bound if other.is_closed()]:
                del self._bound[other]
            bound = self._bound.get(loop)
        if bound is None:
            made = await asyncio.to_thread(self._make)  # loading takes a second, and would hold up the loop
            await anext(made.keeper)
            with self._lock:
                bound = self._bound.setdefault(loop, made)
            if bound is not made:
                await made.keeper.aclose()
        return bound

    def _make(self) -> _Bound:
        importlib.import_module("pydantic_ai.direct")
        client = _Client(self._clock)
        return _Bound(client, _model(self.config, self._key, client), _keep(client))


@dataclass
class _Bound:
    """What belongs to one event loop."""

    client: httpx2.AsyncClient
    model: Model[Any]
    keeper: AsyncGenerator[None]
    """Closes the client when it is closed; an event loop that shuts down closes its generators."""


Binding = Callable[[], Awaitable[_Bound]]
"""Makes, or finds, what belongs to the running event loop."""


async def _keep(client: httpx2.AsyncClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await client.aclose()


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients of the process: making it reads every authority that the machine trusts."""
    return httpx2.create_ssl_context()


class _Client(httpx2.AsyncClient):
    """A client whose transports are tapped, those through proxies of the environment too."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(verify=_tls(), timeout=httpx2.Timeout(600), limits=_LIMITS, follow_redirects=False)
        self._transport = Tap(self._transport, clock)
        self._mounts = {where: inner and Tap(inner, clock) for where, inner in self._mounts.items()}


class _Asking:
    """One request on its way."""

    def __init__(self, config: ModelConfig, request: Request, collector: Collector) -> None:
        self._config, self._request, self._collector = config, request, collector
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + request.timeout
        self._first_by: float | None = None
        self._transcript: Transcript | None = None
        self._stream: StreamedResponse | None = None
        self._calls: dict[int, int] = {}
        self._stack = AsyncExitStack()

    async def pieces(self, binding: Binding) -> AsyncGenerator[Delta | Reply]:
        """Everything that `ask` yields."""
        try:
            model = (await self._in_time(binding())).model
            messages = importlib.import_module("pydantic_ai.messages")
            self._transcript = Transcript(messages, self._config.provider, self._config.api, model.system)
            if self._request.stream:
                self._first_by = self._after(self._request.first_content)
                stream = await self._in_time(self._opened(model), self._first_by)
                async for delta in self._deltas(stream):
                    yield delta
                response = stream.get()
            else:
                response = await self._in_time(self._whole(model))
            reply = self._reply(response)
        except Exception as error:
            raise failure(error, self._config, self._collector, self._partial()) from error
        finally:
            await self._let_go()
        yield reply

    def _after(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._loop.time() + seconds

    async def _in_time(self, awaitable: Awaitable[_T], by: float | None = None) -> _T:
        """Wait for something, until the request's deadline at most, or until `by`."""
        try:
            async with asyncio.timeout_at(self._ends if by is None else min(by, self._ends)):
                return await awaitable
        except TimeoutError as error:
            if by is not None and by < self._ends:
                raise Incomplete("no content came in time", "timeout", "no_content") from error
            raise Incomplete(f"no reply within {self._request.timeout:g} s", "timeout", "deadline") from error

    async def _whole(self, model: Model[Any]) -> ModelResponse:
        from pydantic_ai.direct import model_request  # noqa: PLC0415

        with collecting(self._collector):
            return await model_request(model, **self._said())

    async def _opened(self, model: Model[Any]) -> StreamedResponse:
        from pydantic_ai.direct import model_request_stream  # noqa: PLC0415

        with collecting(self._collector):
            self._stream = await self._stack.enter_async_context(model_request_stream(model, **self._said()))
        return self._stream

    def _said(self) -> dict[str, Any]:
        assert self._transcript is not None
        return {
            "messages": self._transcript.given(self._request.messages),
            "model_settings": settings_of(self._config, self._request),
            "model_request_parameters": _parameters(self._request),
            "instrument": False,
        }

    async def _deltas(self, stream: StreamedResponse) -> AsyncGenerator[Delta]:
        events = aiter(stream)
        by = self._first_by
        while True:
            try:
                event = await self._in_time(anext(events), by)
            except StopAsyncIteration:
                return
            if event.event_kind in ("part_start", "part_delta"):
                if (delta := self._delta(event)) is not None:
                    yield delta
                by = self._after(self._request.silence)

    def _delta(self, event: Any) -> Delta | None:
        """A piece as it came; None for one that says nothing."""
        begins = event.event_kind == "part_start"
        piece = event.part if begins else event.delta
        kind = piece.part_kind if begins else piece.part_delta_kind
        if kind in ("text", "thinking"):
            text = piece.content if begins else piece.content_delta
            return (TextDelta(text) if kind == "text" else ReasoningDelta(text)) if text else None
        if kind not in ("tool-call", "tool_call"):
            return None
        if begins:
            index = self._calls[event.index] = len(self._calls)
            return ToolDelta(index, piece.tool_call_id, piece.tool_name, arguments_of(piece.args))
        if event.index not in self._calls:  # of a tool that the provider runs itself
            return None
        name, arguments = piece.tool_name_delta or "", arguments_of(piece.args_delta)
        return ToolDelta(self._calls[event.index], name=name, arguments=arguments)

    def _reply(self, response: ModelResponse) -> Reply:
        """The reply of a response that has come to its end. Raises Incomplete when it has not."""
        found = self._seen(response)
        if found.error is not None and (not found.finish or found.finish in BROKEN):
            refusal = told(found.error)
            raise Incomplete(refusal.message or str(found.error), category(refusal), refusal.code or refusal.kind)
        if found.finish in BROKEN:
            raise Incomplete(f"the provider ended the reply as {found.finish!r}", "server_error", found.finish)
        if not found.finish:
            raise Incomplete("the reply ended without saying why: it was cut off")
        return self._made(response, found)

    def _made(self, response: ModelResponse, found: Seen) -> Reply:
        assert self._transcript is not None
        message = self._transcript.taken(response)
        dialect = {"chat": self._config.host.dialect, "responses": "openai.responses"}.get(self._config.api)
        return Reply(
            message=message,
            finish=finish_of(found.finish, refused=found.refused, calls=bool(message.tool_calls)),
            usage=found.usage(dialect or self._config.host.dialect),
            raw_finish=found.finish,
            served_model=found.model or response.model_name or None,
            served_tier=found.tier,
            response_id=found.id or response.provider_response_id,
            reported_cost=found.cost,
            citations=found.citations,
            exchanges=self._collector.exchanges,
        )

    def _seen(self, response: ModelResponse) -> Seen:
        attempt = self._collector.last
        if attempt is not None and attempt.whole:
            return seen(attempt.content())
        # the body was too long to keep: what the library read of it
        details = response.provider_details or {}
        return Seen(
            finish=str(details.get("finish_reason") or response.finish_reason or ""), counted=_counted(response)
        )

    def _partial(self) -> Reply | None:
        """The reply as far as it came; None when nothing did."""
        if self._stream is None:
            return None
        response = self._stream.get()
        made = self._made(response, self._seen(response))
        return made if response.parts or made.usage.basis != "missing" else None

    async def _let_go(self) -> None:
        """Close the stream. What closing raises says nothing: the reply is whole, or its failure is known."""
        with contextlib.suppress(Exception):
            await self._stack.aclose()


def _counted(response: ModelResponse) -> Usage | None:
    usage = response.usage
    if usage.unmeasured_requests:
        return None
    return Usage(
        input_uncached=usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        cache_read=usage.cache_read_tokens,
        cache_write=usage.cache_write_tokens,
        output=usage.output_tokens,
        basis="provider",
    )


def _parameters(request: Request) -> ModelRequestParameters:
    from pydantic_ai.models import ModelRequestParameters  # noqa: PLC0415
    from pydantic_ai.output import OutputObjectDefinition  # noqa: PLC0415
    from pydantic_ai.tools import ToolDefinition  # noqa: PLC0415

    tools = [
        ToolDefinition(
            name=tool.name, parameters_json_schema=dict(tool.parameters), description=tool.description or None
        )
        for tool in request.tools
    ]
    if request.output_schema is None:
        return ModelRequestParameters(function_tools=tools)
    name = str(request.output_schema.get("title") or "answer")
    schema = OutputObjectDefinition(dict(request.output_schema), _UNNAMED.sub("_", name)[:64])
    return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=schema)


def _model(config: ModelConfig, key: str, client: httpx2.AsyncClient) -> Model[Any]:
    """The library's model on a client of ours, which never repeats a request by itself."""
    if config.api == "anthropic":
        return _anthropic(config, key, client)
    if config.api == "google":
        return _google(config, key, client)
    from openai import AsyncOpenAI  # noqa: PLC0415
    from pydantic_ai.models.openai import OpenAIResponsesModel  # noqa: PLC0415

    sdk = AsyncOpenAI(api_key=key, base_url=config.url, http_client=client, max_retries=0)
    made = OpenAIResponsesModel if config.api == "responses" else _chat_class()
    return made(config.model, provider=_compatible(config, sdk), profile=_profile(config))


@cache
def _chat_class() -> type[OpenAIChatModel]:
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415

    class LenientChatModel(OpenAIChatModel):
        """Takes tool calls that do not say that they are functions (Mistral)."""

        def _validate_completion(self, response: ChatCompletion) -> Any:
            for choice in response.choices:
                for call in choice.message.tool_calls or ():
                    if not getattr(call, "type", None):
                        call.type = "function"
            return super()._validate_completion(response)

    return LenientChatModel


def _compatible(config: ModelConfig, sdk: AsyncOpenAI) -> Provider[AsyncOpenAI]:
    """What the library knows of a host that speaks OpenAI's API."""
    if not config.host.profile:
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415

        return OpenAICompatibleProvider(config.provider, openai_client=sdk)
    from pydantic_ai.providers import infer_provider_class  # noqa: PLC0415

    made: Any = infer_provider_class(config.host.profile)
    provider: Provider[AsyncOpenAI] = made(openai_client=sdk)
    return provider


def _profile(config: ModelConfig) -> OpenAIModelProfile:
    return {
        "openai_chat_streaming_requires_finish_reason": True,
        "openai_chat_supports_max_completion_tokens": config.host.max_tokens == "max_completion_tokens",
        "openai_system_prompt_role": "system",
        "ignore_streamed_leading_whitespace": False,
        "may_tokenize_special_tokens_in_content": False,
        "thinking_tags": (_NEVER, _NEVER),
    }


def _anthropic(config: ModelConfig, key: str, client: httpx2.AsyncClient) -> Model[Any]:
    from anthropic import AsyncAnthropic  # noqa: PLC0415
    from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415

    sdk = AsyncAnthropic(api_key=key, base_url=config.url, http_client=client, max_retries=0)
    return _anthropic_class()(config.model, provider=AnthropicProvider(anthropic_client=sdk))


@cache
def _anthropic_class() -> type[AnthropicModel]:
    from anthropic.types.beta import BetaUsage  # noqa: PLC0415
    from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415

    def told(holder: Any) -> Any:
        """The library cannot read a reply without usage. Ours is read from the bytes, where it stays missing."""
        if holder is not None and getattr(holder, "usage", None) is None:
            holder.usage = BetaUsage(input_tokens=0, output_tokens=0)
        return holder

    class LenientAnthropicModel(AnthropicModel):
        """Takes replies without usage, as proxies send them."""

        def _process_response(self, response: Any, *given: Any, **more: Any) -> ModelResponse:
            return super()._process_response(told(response), *given, **more)

        async def _process_streamed_response(self, response: Any, *given: Any, **more: Any) -> Any:
            made: Any = await super()._process_streamed_response(response, *given, **more)
            read = made._map_event  # noqa: SLF001 - there is no other place between the client and the library

            def map_event(event: Any) -> Any:
                if event.type in ("message_start", "message_delta"):
                    told(event.message if event.type == "message_start" else event)
                return read(event)

            made._map_event = map_event  # noqa: SLF001 - as above
            return made

    return LenientAnthropicModel


def _google(config: ModelConfig, key: str, client: httpx2.AsyncClient) -> Model[Any]:
    from pydantic_ai.models.google import GoogleModel  # noqa: PLC0415
    from pydantic_ai.providers.google import GoogleProvider  # noqa: PLC0415

    return GoogleModel(config.model, provider=GoogleProvider(api_key=key, base_url=config.url, http_client=client))


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
