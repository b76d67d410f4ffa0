"""`LLM`: a model asked for text, whole or as a stream, with every call recorded.

    llm = LLM("gpt-4o", LLMCallLogger(session))
    text = llm.inference("What is AI?", report_id="report_456")
    async for piece in llm.inference_stream("Explain machine learning"): ...

One call is one request. Nothing is repeated, whatever fails: the provider, the logger, or anything that records. The
row is kept apart from the call for that: a failure of the one never reaches the other.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from msgspec import structs

from tachograph.errors import InvalidTranscript, ModelError, SettingsError
from tachograph.events import chat
from tachograph.events.chat import Message
from tachograph.instrument.llm_call_log import LLMCallLog
from tachograph.instrument.logging import LLMCallLogger
from tachograph.instrument.target import Target
from tachograph.limits.estimate import MOST_OUTPUT, output_within
from tachograph.providers import told
from tachograph.providers.config import ModelConfig
from tachograph.providers.port import ModelPort, Params, Reply, Request, TextDelta
from tachograph.record import scope
from tachograph.record.intent import LLMCall
from tachograph.record.step import step

Prompt = str | Message | Iterable[Message | Mapping[str, Any]]
"""A text of the user's, or messages, oldest first: as values or as OpenAI chat completions spell them."""
T = TypeVar("T")
_Links = tuple[object, object, object, object]
"""execution_log_id, report_id, completion_id, metadata"""

_MODEL = (
    "a name such as gpt-4o or anthropic:claude-sonnet-4-5, an object with provider and model_id, or a model that can "
    "be asked (tachograph.model(…), tachograph.testing.ScriptedModel)"
)
_LEAST = 0.001
"""Seconds that a request has at least."""
_KINDS = ("provider_type", "name", "value")
"""What an application's provider may call its kind."""


class LLM:
    """A model, and the logger that its calls are logged by.

    `model` is a name, a model that can be asked (a `ModelPort`), or an object of the application with `model_id`,
    `provider` and perhaps `api_key` and `base_url`. `config` are settings of a named model, as `tachograph.model`
    takes them: provider, api_key, base_url, api_version, headers, params, request_timeout, … Without a logger calls are
    recorded by the process's own recorder. Raises SettingsError for what is no model or no logger, or when a key is
    missing; MissingExtra without the extra `agents`.

    One object may be used from any number of threads, tasks and event loops.
    """

    def __init__(self, model: object, llm_call_logger: LLMCallLogger | None = None, **config: Any) -> None:
        if llm_call_logger is not None and not callable(getattr(llm_call_logger, "log_llm_call", None)):
            raise SettingsError("llm_call_logger", type(llm_call_logger).__name__, "an LLMCallLogger, or None")
        self.model = _port(model, config)
        self.llm_call_logger = llm_call_logger
        self._plain = LLMCallLogger()
        self._target = Target()
        self._doubted = False

    @property
    def provider(self) -> str:
        """openai, anthropic, google, … as prices know it."""
        return self.model.provider

    @property
    def model_id(self) -> str:
        """The model's name as it is requested."""
        return self.model.model

    def __repr__(self) -> str:
        """Provider and model."""
        return f"<LLM {self.provider} {self.model_id}>"

    def inference(
        self,
        prompt: Prompt,
        *,
        execution_log_id: object = None,
        report_id: object = None,
        completion_id: object = None,
        metadata: object = None,
        max_tokens: int | None = None,
        params: Params = Params(),  # noqa: B008 - a frozen value
        timeout: float | None = None,
    ) -> str:
        """The reply's text, as it came; logged with prompt, response, tokens, cost and why it ended.

        A plain call, inside a running event loop too: the request goes out from a thread that the process keeps for
        that, and the loop stands still meanwhile (`await asyncio.to_thread(llm.inference, …)` lets it turn).
        `max_tokens` bounds the output; `timeout` is in seconds, by default that of the model's configuration, else 300.
        Limits of the run around it bound both: to what they leave, and output to 4,096 tokens where nothing is said.
        Raises ModelError when there is no whole reply, LimitExceeded before a request that a limit refuses,
        InvalidTranscript for a prompt that is none.
        """
        links = (execution_log_id, report_id, completion_id, metadata)
        request = self._request(prompt, max_tokens, params, timeout, stream=False)
        request = self._safely(lambda: _fitted(self.model, request, execution_log_id), request)
        with _Logged(self, prompt, request, links) as log:
            from tachograph.providers.asking import waited  # noqa: PLC0415 - only who asks loads an event loop

            reply = waited(self.model, log.bounded(request))
            log.replied(reply)
        return reply.message.text

    async def inference_stream(
        self,
        prompt: Prompt,
        *,
        execution_log_id: object = None,
        report_id: object = None,
        completion_id: object = None,
        metadata: object = None,
        max_tokens: int | None = None,
        params: Params = Params(),  # noqa: B008 - a frozen value
        timeout: float | None = None,  # noqa: ASYNC109 - it is the model that is told
    ) -> AsyncGenerator[str, None]:
        """The reply's text in pieces, as they come; logged when the first is asked for, with their number and times.

        Closed early, or dropped, it ends the request, and its row is cancelled. Arguments and errors as for
        `inference`; what had come before an error is in the row.
        """
        links = (execution_log_id, report_id, completion_id, metadata)
        request = self._request(prompt, max_tokens, params, timeout, stream=True)
        request = self._safely(lambda: _fitted(self.model, request, execution_log_id), request)
        with _Logged(self, prompt, request, links) as log:
            from tachograph.providers.asking import pieces  # noqa: PLC0415 - as above

            said = False
            async with aclosing(pieces(self.model, log.bounded(request))) as answer:
                async for piece in answer:
                    text = log.heard(piece, said=said)
                    if text:
                        said = True
                        yield text

    def close(self) -> None:
        """Let go of the model's connections that `inference` opened; the next call opens others.

        Those of `inference_stream` belong to the event loop that it ran on, and are closed with that.
        """
        from tachograph.providers.loop_thread import shared  # noqa: PLC0415 - as above

        thread = shared()
        if thread.running:
            thread.call(self.model.close)

    def _request(
        self, prompt: Prompt, max_tokens: int | None, params: Params, timeout: float | None, *, stream: bool
    ) -> Request:
        config = getattr(self.model, "config", None)
        waits: dict[str, Any] = {}
        if isinstance(config, ModelConfig):
            waits = {
                "timeout": config.request_timeout,
                "first_content": config.first_content,
                "silence": config.silence,
            }
        if timeout is not None:
            waits["timeout"] = timeout
        return Request(messages=_messages(prompt), max_tokens=max_tokens, params=params, stream=stream, **waits)

    def _safely(self, action: Callable[[], T], otherwise: T) -> T:
        return self._target.safely("llm", action, otherwise)

    def _doubt(self) -> Mapping[str, Any] | None:
        """What is doubtful about the model's name, once."""
        if self._doubted:
            return None
        self._doubted = True
        return self.model.warning


class _Logged:
    """One call's row. Whatever fails in here is counted and stays in here, but a limit that refuses the call."""

    def __init__(
        self, llm: LLM, prompt: Prompt, request: Request, links: tuple[object, object, object, object]
    ) -> None:
        self._llm, self._prompt, self._request, self._links = llm, prompt, request, links
        self._row: LLMCallLog | None = None

    def __enter__(self) -> Self:
        """Start the row: by the logger, or by our own where that one fails."""
        caller, llm = sys._getframe(1), self._llm  # noqa: SLF001 - whose call it is; see record.scope
        loggers = [llm._plain] if llm.llm_call_logger is None else [llm.llm_call_logger, llm._plain]  # noqa: SLF001
        for logger in loggers:
            self._row = self._safely(partial(self._made, logger), None)
            if self._row is not None:
                break
        self._with(lambda row: row.begin(caller))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the row; the error goes on."""
        if isinstance(error, ModelError):
            self._with(lambda row: self._failed(row, error))
        if isinstance(error, ModelError) and error.category == "cancelled":
            self._with(lambda row: row.finish("cancelled", error))
        else:
            self._with(lambda row: row.finish(error=error))

    def bounded(self, request: Request) -> Request:
        """The request, with no more time than the limits around it leave."""
        left = self._safely(_left, None)
        return request if left is None or left >= request.timeout else structs.replace(request, timeout=left)

    def heard(self, piece: object, *, said: bool) -> str | None:
        """Take in a piece of the stream; the text that it brings. `said`: whether any came before."""
        text: str | None = None
        if isinstance(piece, Reply):
            self.replied(piece)
            if said or not piece.message.text:
                return None
            text = piece.message.text  # a model that does not stream says it all at once
        elif isinstance(piece, TextDelta):
            text = piece.text
        self._with(lambda row: row.add(text))
        return text

    def replied(self, reply: Reply) -> None:
        """Everything the reply says goes into the row."""
        self._with(lambda row: told.replied(row, reply))
        self._with(lambda row: self._said(row, reply))
        self._with(self._doubted)

    def _made(self, logger: LLMCallLogger) -> LLMCallLog:
        llm, request = self._llm, self._request
        below, report, completion, metadata = self._links
        row = logger.log_llm_call(
            llm.provider, llm.model_id, "inference_stream" if request.stream else "inference",
            self._prompt if isinstance(self._prompt, str) else [message.plain() for message in request.messages],
            is_streaming=request.stream, execution_log_id=below, report_id=report, completion_id=completion,
            metadata=metadata, params=told.params_of(llm.model, request) or None, tier=request.params.tier,
        )  # fmt: skip
        if not isinstance(row, LLMCallLog):
            raise TypeError(f"log_llm_call of {type(logger).__name__} gave {type(row).__name__}, no row")
        return row

    def _failed(self, row: LLMCallLog, error: ModelError) -> None:
        partly = told.failed(row, error)
        if partly is not None:
            self._said(row, partly)

    def _said(self, row: LLMCallLog, reply: Reply) -> None:
        message = reply.message
        row.response = message.text if message == chat.assistant(message.text) else message.plain()

    def _doubted(self, row: LLMCallLog) -> None:
        warning = self._llm._doubt()  # noqa: SLF001 - of this module
        if warning is not None:
            row.note("model_lookup_warning", dict(warning))

    def _with(self, action: Callable[[LLMCallLog], None]) -> None:
        row = self._row
        if row is not None:
            self._safely(lambda: action(row), None)

    def _safely(self, action: Callable[[], T], otherwise: T) -> T:
        return self._llm._safely(action, otherwise)  # noqa: SLF001 - as above


def _fitted(model: ModelPort, request: Request, below: object) -> Request:
    """The request, where a run is bounded: it asks for no more output than its limits leave."""
    here = scope.current()
    if here is None or here.run.guard is None:
        return request
    most = request.max_tokens or MOST_OUTPUT
    messages = [message.plain() for message in request.messages]
    asked = LLMCall(model.model, messages, model.provider, max_output=most, tier=request.params.tier)
    place = getattr(below, "id", below)
    room = step(asked, below=None if place is None else str(place)).room()
    return structs.replace(request, max_tokens=output_within(most, room))


def _left() -> float | None:
    """Seconds that the limits of the run around the caller leave a request; None: they do not limit its time."""
    here = scope.current()
    if here is None or here.run.guard is None:
        return None
    now = here.run.recorder.clock.mono()
    until = here.run.guard.until("llm", now)
    return None if until is None else max((until - now) / 1e9, _LEAST)


def _port(model: object, config: dict[str, Any]) -> ModelPort:
    if callable(getattr(model, "ask", None)):
        for name, value in config.items():
            raise SettingsError(name, value, "a setting of a named model; this model is configured already")
        return cast("ModelPort", model)
    from tachograph.providers import models  # noqa: PLC0415 - a model that can be asked needs no catalogue

    if isinstance(model, str):
        return models.model(model, **config)
    called = getattr(model, "model_id", None)
    if not isinstance(called, str):
        raise SettingsError("model", type(model).__name__, _MODEL)
    return models.model(called, **{**_stated(model), **config})


def _stated(model: object) -> dict[str, str]:
    """What an object of the application says of its model."""
    provider = getattr(model, "provider", None)
    kinds = [provider, *(getattr(provider, name, None) for name in _KINDS)]
    said: dict[str, object] = {name: getattr(model, name, None) for name in ("api_key", "base_url")}
    said["provider"] = next((kind for kind in kinds if isinstance(kind, str)), None)
    return {name: value for name, value in said.items() if isinstance(value, str) and value}


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    if isinstance(prompt, str | Message):
        return (chat.user(prompt) if isinstance(prompt, str) else prompt,)
    found: list[Message] = []
    if not isinstance(prompt, Iterable) or isinstance(prompt, Mapping | bytes):
        raise InvalidTranscript(0, f"a prompt is a text or a list of messages, not {type(prompt).__name__}")
    for place, one in enumerate(prompt):
        try:
            found.append(one if isinstance(one, Message) else chat.read(one))
        except (ValueError, AttributeError, TypeError) as problem:
            raise InvalidTranscript(place, str(problem)) from problem
    if not found:
        raise InvalidTranscript(0, "there is none")
    return tuple(found)
