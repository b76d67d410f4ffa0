"""A row of `llm_call_logs`: one request to a model."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypedDict

from tachograph.events.usage import MISSING, Cost, Usage
from tachograph.instrument.chunks import usage_of
from tachograph.instrument.log_row import LogRow
from tachograph.instrument.target import Target
from tachograph.record.door import Recorded
from tachograph.record.intent import LLMCall, Trigger
from tachograph.record.step import CallStep

Stated = Callable[[str, Usage, int], Cost | None]
"""(model, usage, UTC ns) → the cost by prices that the program stated; None where it stated none."""

_MOST_TOKENS = 2**53
_OPERATIONS = frozenset(
    {"chat", "completion", "embedding", "image", "speech", "transcription", "moderation", "rerank"}
)  # fmt: skip
_STREAM = "inference_stream"


class CallFacts(TypedDict, total=False):
    """What may be said of a call beside whom it asks what."""

    is_streaming: bool
    execution_log_id: object
    """The execution it belongs below: its id or its row. What is not open in this process is kept as the execution id
    of a run of the call's own."""
    report_id: object
    """This and the next: ids of the application, a text or a UUID."""
    completion_id: object
    metadata: object
    params: object
    """What was sent beside the prompt: temperature, max_tokens, … A limit on output is read from it."""
    tier: str | None
    """Service tier asked for."""


class LLMCallLog(LogRow):
    """One row. Inside an execution, or given the id of one that is open, it belongs to that."""

    COLUMNS = (
        "id", "execution_log_id", "provider", "model_id", "call_type", "status", "start_time", "end_time",
        "duration_ms", "prompt", "response", "error_message", "input_tokens", "output_tokens", "total_tokens",
        "input_cost", "output_cost", "total_cost", "is_streaming", "chunks_count", "metadata", "report_id",
        "completion_id", "created_at", "updated_at",
    )  # fmt: skip

    def __init__(
        self,
        target: Target,
        stated: Stated,
        provider: str,
        model_id: str,
        *,
        call_type: str = "inference",
        prompt: Any = None,
        is_streaming: bool = False,
        execution_log_id: Any = None,
        report_id: Any = None,
        completion_id: Any = None,
        metadata: Any = None,
        params: Any = None,
        tier: str | None = None,
        surrounds: bool = True,
    ) -> None:
        super().__init__(target, metadata)
        self._stated, self._surrounds = stated, surrounds
        self._asked_below, self._params, self._tier = execution_log_id, params, tier
        self._texts: list[str] = []
        self._cost: Cost | None = None
        self._ended_at = 0
        self.provider, self.model_id, self.call_type, self.prompt = provider, model_id, call_type, prompt
        self.is_streaming = bool(is_streaming) or call_type == _STREAM
        self.report_id, self.completion_id = report_id, completion_id
        self.response: Any = None
        """What the model said: a text, or a message in the provider's shape. This and the rest may be set until the
        end."""
        self.input_tokens: int | None = None
        """All input tokens, cached ones included."""
        self.output_tokens: int | None = None
        self.usage: Any = None
        """The provider's usage object, or a `Usage`: it tells cached tokens apart, and counts before the two above."""
        self.chunks_count: int | None = None
        self.served_model: str | None = None
        """The model as the reply names it, where that is known."""
        self.finish_reason: str | None = None
        """This and the rest as `record.step.CallStep` has them, where they are known."""
        self.served_tier: str | None = None
        self.response_id: str | None = None
        self.request_id: str | None = None
        self.http_status: int | None = None
        self.reported_cost: Decimal | None = None
        self.sent: bool | None = None

    # ---- columns --------------------------------------------------------------------------------------------------

    @property
    def execution_log_id(self) -> str | None:
        """Id of the execution it belongs to."""
        return self.parent_id

    @property
    def total_tokens(self) -> int | None:
        """Input and output; None unless both are known."""
        return self._used().total

    @property
    def input_cost(self) -> float | None:
        """USD; None while the call is open, and when its price or its tokens are not known."""
        return _usd(self._known_cost().input)

    @property
    def output_cost(self) -> float | None:
        """USD, as `input_cost`."""
        return _usd(self._known_cost().output)

    @property
    def total_cost(self) -> float | None:
        """USD, as `input_cost`."""
        return _usd(self._known_cost().total)

    def _known_cost(self) -> Cost:
        """What it cost: by stated prices, else as the price list will have it when the row is stored."""
        if not self._over:
            return Cost()
        if self._cost is None:
            self._cost = self._target.safely("log_price", self._listed, Cost())
        return Cost() if self._cost.state == "unpriced" else self._cost

    def _listed(self) -> Cost:
        from tachograph.fold.cost import price  # noqa: PLC0415 - loaded for a program that asks

        model = self.served_model or self.model_id
        return price(self._target.prices(), str(self.provider), str(model), self._used(), self._ended_at)

    # ---- start and end --------------------------------------------------------------------------------------------

    def add(self, text: str | None) -> None:
        """A chunk arrived, with this piece of the text."""
        if isinstance(self._step, CallStep):
            self._step.add(text)
        self.chunks_count = (self.chunks_count or 0) + 1
        if text:
            self._texts.append(text)

    def meter(self) -> None:
        """Say what it used, after its end."""
        step = self._step
        if self._over and isinstance(step, CallStep):
            usage = self._used()
            self._cost = self._price(usage)
            step.meter(usage, self._cost)

    def _made(self) -> Recorded:
        known = self.call_type in _OPERATIONS
        call = CallStep(
            LLMCall(
                self.model_id, _messages(self.prompt), self.provider,
                operation=self.call_type if known else "chat", streaming=self.is_streaming,
                purpose=None if known or self.call_type in ("inference", _STREAM) else self.call_type,
                metadata=self._given, refs=self._refs("report_id", "completion_id"), params=self._params,
                tier=self._tier,
            )
        )  # fmt: skip
        call.surrounds = self._surrounds
        below = self._asked_below
        if isinstance(below, LogRow):
            call.below, grouped = below.id, below.execution_id
        else:
            call.below = grouped = None if below is None else str(below)
        recorder = self._target.recorder()
        if recorder is not None and grouped and (call.below is None or recorder.find(call.below) is None):
            # Nothing that is open here: then it names the execution that this call is to be found under.
            call.trigger = Trigger(self.model_id, execution_id=grouped)
            self.execution_id = grouped
        return call

    def _say_results(self, step: Recorded) -> None:
        assert isinstance(step, CallStep)
        if self.response is None and self._texts:
            self.response = "".join(self._texts)
        step.reply = self.response
        step.chunks, step.finish_reason, step.served_model = self.chunks_count, self.finish_reason, self.served_model
        step.served_tier, step.response_id, step.request_id = self.served_tier, self.response_id, self.request_id
        step.http_status, step.reported_cost, step.sent = self.http_status, self.reported_cost, self.sent
        step.metadata = self._late_metadata()
        self._ended_at = self._target.moment()[0]
        usage = self._used()
        self._cost = self._price(usage)
        step.usage, step.cost = usage, self._cost
        self.input_tokens, self.output_tokens = usage.input_total, usage.output

    def _price(self, usage: Usage) -> Cost | None:
        return self._target.safely("log_price", lambda: self._stated(self.model_id, usage, self._ended_at), None)

    def _used(self) -> Usage:
        usage = MISSING if self.usage is None else self._target.safely("log_usage", self._said, MISSING)
        if usage != MISSING:
            return usage
        given, made = _tokens(self.input_tokens), _tokens(self.output_tokens)
        return MISSING if given is None and made is None else Usage(given, output=made, basis="instrumentation")

    def _said(self) -> Usage:
        return usage_of(self.usage)


def _messages(prompt: Any) -> list[Any]:
    """A prompt as the messages that were sent: a text is one of the user's."""
    if prompt is None:
        return []
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return list(prompt) if isinstance(prompt, list | tuple) else [prompt]


def _tokens(count: Any) -> int | None:
    """A count of tokens; None for what is none."""
    try:
        whole = int(count)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if 0 <= whole < _MOST_TOKENS else None


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / 1e9
