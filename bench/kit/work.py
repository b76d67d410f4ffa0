"""The work that is measured: one recorded model call, said in each product's own way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

PROMPT = "The quick brown fox asks the support desk where its parcel is. " * 33
"""About 2 KB."""
ANSWER = "Your parcel left our warehouse this morning and arrives tomorrow. " * 8
"""About 0.5 KB."""
PARAMS = {"temperature": 0.2, "max_tokens": 400}

COMMAND = [sys.executable, "-c", "from tachograph.cli.main import main; main()"]
"""The `tachograph` command of this interpreter."""

Message = dict[str, str]
Record = Callable[[Sequence[Message], str], object]


def tachograph_call() -> Record:
    """One call through the door."""
    from tachograph import LLMCall, Usage, step

    def record(messages: Sequence[Message], answer: str) -> object:
        with step(LLMCall("gpt-4o", messages, provider="openai", params=PARAMS)) as call:
            call.reply = answer
            call.usage = Usage(500, 0, 0, 120, basis="provider")
            call.finish_reason, call.served_model, call.response_id = "stop", "gpt-4o-2024-08-06", "chatcmpl-1"
        return call

    return record


def opentelemetry_call(exporter: Any = None) -> tuple[Record, Callable[[], object]]:
    """One span with the attributes of the GenAI conventions, batch exporter behind it; and how to flush it."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter or Nowhere(), max_queue_size=1_000_000))
    tracer = provider.get_tracer("bench")

    def record(messages: Sequence[Message], answer: str) -> object:
        with tracer.start_as_current_span("chat gpt-4o") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.provider.name", "openai")
            span.set_attribute("gen_ai.request.model", "gpt-4o")
            span.set_attribute("gen_ai.request.temperature", 0.2)
            span.set_attribute("gen_ai.request.max_tokens", 400)
            span.set_attribute("gen_ai.input.messages", json.dumps([_parts(message) for message in messages]))
            span.set_attribute("gen_ai.output.messages", json.dumps([_parts({"role": "assistant", "content": answer})]))
            span.set_attribute("gen_ai.response.model", "gpt-4o-2024-08-06")
            span.set_attribute("gen_ai.response.id", "chatcmpl-1")
            span.set_attribute("gen_ai.response.finish_reasons", ["stop"])
            span.set_attribute("gen_ai.usage.input_tokens", 500)
            span.set_attribute("gen_ai.usage.output_tokens", 120)
        return span

    return record, provider.shutdown


def langfuse_call(host: str) -> tuple[Record, Callable[[], object]]:
    """One generation of the Langfuse SDK, sent to a server that throws it away; and how to flush it."""
    from langfuse import Langfuse

    client = Langfuse(public_key="pk", secret_key="sk", host=host, flush_at=512)

    def record(messages: Sequence[Message], answer: str) -> object:
        with client.start_as_current_observation(
            as_type="generation", name="chat", model="gpt-4o", input=list(messages), model_parameters=PARAMS
        ) as generation:
            generation.update(output=answer, usage_details={"input": 500, "output": 120})
        return generation

    return record, client.shutdown


def _parts(message: Message) -> dict[str, Any]:
    return {"role": message["role"], "parts": [{"type": "text", "content": message["content"]}]}
