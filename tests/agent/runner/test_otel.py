from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tachograph.agent.runner import runner as module
from tachograph.agent.runner.otel import Trace, Watch, export
from tachograph.agent.runner.runner import Runner
from tachograph.errors import MissingExtra, ModelError
from tachograph.events.content import inline
from tachograph.events.usage import Usage
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel
from tachograph.record import scope
from tachograph.record.run import run
from tachograph.testing import Captured
from tests.agent.runner.test_runner import ASSISTANT, CONVERSATION, HELLO, desk

pytestmark = pytest.mark.anyio


class Exported:
    """What the SDK's exporter got."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(exporter or self._memory))
        self.tracer = self.provider.get_tracer("test")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name; the last of one name."""
        return {span.name: span for span in self._memory.get_finished_spans()}

    def tree(self) -> Any:
        """Names, nested as parents say."""
        found = self._memory.get_finished_spans()
        starts = sorted(found, key=lambda span: (span.start_time or 0, -(span.end_time or 0)))

        def below(parent: int | None) -> list[Any]:
            mine = [one for one in starts if (one.parent.span_id if one.parent else None) == parent]
            return [[one.name, *below(one.context.span_id)] for one in mine]

        return below(None)


@pytest.fixture
def exported() -> Iterator[Exported]:
    """An exporter in memory, behind the real SDK."""
    found = Exported()
    yield found
    found.provider.shutdown()


USAGE = Usage(input_uncached=10, cache_read=5, output=7, reasoning=2, basis="provider")


async def _replied(exported: Exported, script: Any, trace: Trace | None = None, **fields: Any) -> Any:
    runner = Runner(
        desk(script), assistant=ASSISTANT, conversation=CONVERSATION,
        trace=trace or Trace(tracer=exported.tracer), **fields,
    )  # fmt: skip
    reply = await runner.generate_response(HELLO)
    assert runner.untraced == 0
    return reply


async def test_a_reply_as_spans(events: Captured, exported: Exported) -> None:
    """Root, agent, generations and tools, by their names; models and usage stand on generations alone."""
    model = ScriptedModel([Say("", (Call("look", {"query": "a"}),), USAGE), Say("Hi", usage=USAGE)], name="gpt-x")
    await _replied(exported, model)
    name = "llm.captain_v2"
    assert exported.tree() == [
        [name, [
            f"{name}.agent.ana_bot", [f"{name}.generation"], [f"{name}.tool.look"], [f"{name}.generation"],
        ]],
    ]  # fmt: skip
    spans = exported.spans
    assert dict(spans[name].attributes or {}) == {
        "langfuse.trace.name": name,
        "langfuse.trace.tags": '["captain_v2"]',
        "langfuse.user.id": "3",
        "langfuse.session.id": "3_22",
        "gen_ai.conversation.id": "3_22",
        "langfuse.trace.metadata.assistant_id": "7",
        "langfuse.trace.metadata.conversation_id": "1",
        "langfuse.trace.metadata.conversation_display_id": "22",
        "langfuse.trace.metadata.credit_used": "true",
        "langfuse.trace.metadata.stop_reason": "final_answer",
        "langfuse.trace.metadata.discarded": "false",
    }
    generation = dict(spans[f"{name}.generation"].attributes or {})
    assert json.loads(str(generation.pop("langfuse.observation.usage_details"))) == {
        "input": 10, "input_cache_read": 5, "output": 5, "output_reasoning_tokens": 2, "total": 22,
    }  # fmt: skip
    assert generation == {
        "langfuse.observation.type": "generation", "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted", "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x", "gen_ai.conversation.id": "3_22",
        "agent.name": "ana_bot", "gen_ai.usage.input_tokens": 15, "gen_ai.usage.output_tokens": 7,
    }  # fmt: skip
    assert dict(spans[f"{name}.tool.look"].attributes or {}) == {
        "langfuse.observation.type": "tool", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": "call_1", "agent.name": "ana_bot", "langfuse.observation.metadata.state": "completed",
    }  # fmt: skip
    elsewhere = [span for key, span in spans.items() if not key.endswith(".generation")]
    assert not any("usage" in key or "model" in key for span in elsewhere for key in span.attributes or {})


async def test_times_are_those_of_the_work(events: Captured, exported: Exported) -> None:
    """A generation lasts as long as its request did, tools that ran together overlap, and all lie inside the root."""

    async def wait(n: int) -> str:
        """Wait."""
        await asyncio.sleep(0.05)
        return str(n)

    script = [Say("", (Call("wait", {"n": 1}), Call("wait", {"n": 2}))), Say("Hi", seconds=0.05)]
    runner = Runner(desk(script, tools=[wait]), trace=Trace(tracer=exported.tracer))
    await runner.generate_response(HELLO)
    found = exported._memory.get_finished_spans()
    times = {
        (span.name.rpartition("v2")[2], index): (span.start_time, span.end_time) for index, span in enumerate(found)
    }
    first, second = (times[key] for key in times if key[0] == ".tool.wait")
    root = next(times[key] for key in times if key[0] == "")
    last = [times[key] for key in times if key[0] == ".generation"][-1]
    assert first[0] < second[1]  # type: ignore[operator]  # they have ended
    assert second[0] < first[1]  # type: ignore[operator]  # as above
    assert last[1] - last[0] >= 40_000_000  # type: ignore[operator]  # as above
    assert all(root[0] <= begin <= end <= root[1] for begin, end in times.values())  # type: ignore[operator]  # as above


async def test_nothing_personal_goes_out_unless_asked_for(events: Captured, exported: Exported) -> None:
    """Without `content` no prompt, reply, argument, result or contact is exported."""
    await _replied(exported, [Call("look", {"query": "secret-query"}), "secret-answer"])
    exporter = str([(dict(span.attributes or {}), span.events) for span in exported._memory.get_finished_spans()])
    assert not any(word in exporter for word in ("secret", "Hello", "bia@example.com", "Bia"))


async def test_content_goes_out_redacted(events: Captured, exported: Exported) -> None:
    """With `content` what was said goes along, as it was recorded: secrets masked."""
    key = "sk-proj-" + "a1B2c3D4" * 6
    script = [Call("look", {"query": "a"}), f"Your key is {key}"]
    await _replied(exported, script, Trace(tracer=exported.tracer, content=True))
    spans = exported.spans
    root, tool = (dict(spans[f"llm.captain_v2{name}"].attributes or {}) for name in ("", ".tool.look"))
    generation = dict(spans["llm.captain_v2.generation"].attributes or {})
    assert root["langfuse.trace.input"] == "Hello"
    assert (tool["langfuse.observation.input"], tool["langfuse.observation.output"]) == (
        '{"query": "a"}', "nothing about a",
    )  # fmt: skip
    sent = json.loads(str(generation["langfuse.observation.input"]))
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert [message["role"] for message in json.loads(str(generation["langfuse.observation.output"]))] == ["assistant"]
    assert key not in str([dict(span.attributes or {}) for span in spans.values()])
    assert "Your key is" in str(root["langfuse.trace.output"])


async def test_what_the_drain_has_yet_to_redact_is_redacted_here(events: Captured) -> None:
    """Content that only a private journal holds as it was is masked before it leaves."""
    watch = Watch()
    with watch.watching():
        pass
    key = "sk-proj-" + "a1B2c3D4" * 6
    pending = inline(json.dumps(key), level="pending")
    assert key not in str(watch.value(pending))
    assert watch.value(inline('"plain"')) == "plain"
    assert watch.value(None) is None


async def test_a_run_that_a_limit_stopped(events: Captured, exported: Exported) -> None:
    """The root ends with an error or with a hand-over, says why, and that nothing is a credit."""
    script = [Call("look", {"query": "a"})] * 3
    await _replied(exported, script, hand_over=lambda asked: None)
    root = exported.spans["llm.captain_v2"]
    attributes = root.attributes or {}
    assert (attributes["langfuse.trace.metadata.credit_used"], root.status.is_ok) == ("false", True)
    marks = [(event.name.rpartition("v2.")[2], dict(event.attributes or {})) for event in root.events]
    handed = {"handoff.to": "person", "handoff.reason": "tool_loop", "handoff.state": "applied"}
    assert [facts for name, facts in marks if name == "handoff"] == [handed]
    assert ("limit", "tool_loop") in [(name, facts.get("limit.metric")) for name, facts in marks]


@pytest.mark.parametrize(
    ("script", "reason"), [([ModelError("auth", "no")], "provider_error"), (["", "", ""], "empty_reply")]
)
async def test_a_run_that_failed(script: Any, reason: str, events: Captured, exported: Exported) -> None:
    """Its root has status error and names the stop reason, and no words of the failure."""
    await _replied(exported, script)
    root = exported.spans["llm.captain_v2"]
    assert (root.status.is_ok, root.status.description) == (False, reason)
    assert (root.attributes or {})["langfuse.trace.metadata.stop_reason"] == reason


async def test_a_cancelled_run_has_its_spans(events: Captured, exported: Exported) -> None:
    """Whoever cancels, the root span ends, as do those that were open."""
    runner = Runner(desk([Endless(seconds=0.01)]), trace=Trace(tracer=exported.tracer))
    task = asyncio.create_task(runner.generate_response(HELLO))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    spans = exported.spans
    assert (spans["llm.captain_v2"].status.description, len(spans)) == ("user_cancel", 3)


async def test_runs_side_by_side_have_spans_of_their_own(events: Captured) -> None:
    """Each of ten replies at the same time is one trace, with its own tool."""
    found = [Exported() for _ in range(10)]

    async def one(number: int) -> None:
        script = [Call("look", {"query": str(number)}), "Hi"]
        runner = Runner(desk(script), trace=Trace(tracer=found[number].tracer, content=True))
        await runner.generate_response(HELLO)

    await asyncio.gather(*map(one, range(10)))
    for number, exported in enumerate(found):
        tool = exported.spans["llm.captain_v2.tool.look"].attributes or {}
        assert (len(exported._memory.get_finished_spans()), tool["langfuse.observation.input"]) == (
            5, f'{{"query": "{number}"}}',
        )  # fmt: skip


async def test_a_call_has_its_price(events: Captured, exported: Exported) -> None:
    """What a call costs goes along with its tokens, as it will be stored; a model without a price has none."""
    said = Say("Hi", usage=Usage(input_uncached=1500, output=500, basis="provider"))
    await _replied(exported, ScriptedModel([said], name="gpt-4", provider="openai"))
    generation = exported.spans["llm.captain_v2.generation"].attributes or {}
    assert json.loads(str(generation["langfuse.observation.cost_details"])) == {"total": 0.075}


async def test_a_stored_run_has_the_same_spans(events: Captured, exported: Exported) -> None:
    """What is exported from the record afterwards is what was exported as it happened."""
    await _replied(exported, [Call("look", {"query": "a"}), "Hi"])
    again = Exported()
    assert export(events, Trace(tracer=again.tracer)) == 5

    def said(one: Exported) -> Any:
        return {name: (dict(span.attributes or {}), span.start_time, span.end_time) for name, span in one.spans.items()}

    assert (again.tree(), said(again)) == (exported.tree(), said(exported))


async def test_a_run_inside_a_tool_hangs_below_it(events: Captured, exported: Exported) -> None:
    """An agent that a tool runs is below that tool's span; events of other runs are nobody's."""

    async def ask(question: str) -> str:
        """Ask another agent."""
        return str((await desk(["inner"], "inner").run(question)).answer)

    with run("somebody else"):
        pass
    runner = Runner(desk([Call("ask", {"question": "?"}), "Hi"], tools=[ask]), trace=Trace(tracer=exported.tracer))
    await runner.generate_response(HELLO)
    name = "llm.captain_v2"
    assert exported.tree() == [[name, [
        f"{name}.agent.ana_bot",
        [f"{name}.generation"],
        [f"{name}.tool.ask", [f"{name}.agent.inner", [f"{name}.generation"]]],
        [f"{name}.generation"],
    ]]]  # fmt: skip


async def test_a_trace_of_the_application_goes_on(events: Captured, exported: Exported) -> None:
    """Inside a span of the program the root is its child."""
    with exported.tracer.start_as_current_span("request"):
        await _replied(exported, ["Hi"])
    assert [name for name, *_ in exported.tree()] == ["request"]


class _Broken(SpanExporter):
    """An exporter that hangs."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, spans: Any) -> Any:
        self.let_go.wait(20)


async def test_an_exporter_that_hangs_holds_up_nothing(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply comes after a short while, and the trace that was not taken is counted."""
    monkeypatch.setattr(module, "TRACING", 0.1)
    broken = _Broken()
    exported = Exported(broken)
    runner = Runner(desk(["Hi"]), trace=Trace(tracer=exported.tracer))
    reply = await runner.generate_response(HELLO)
    assert (reply.response, runner.untraced) == ("Hi", 1)
    broken.let_go.set()


async def test_a_tracer_that_raises_is_counted(events: Captured) -> None:
    """What fails in OpenTelemetry, or that it is not there, changes no reply."""
    runner = Runner(desk(["Hi"]), trace=Trace(tracer=5))
    assert ((await runner.generate_response(HELLO)).response, runner.untraced) == ("Hi", 1)


async def test_without_the_package_it_says_so(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting names the extra that is missing."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match="otel"):
        export([], Trace())


async def test_without_a_recorder_there_is_nothing_to_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cannot record is not disturbed."""
    monkeypatch.setattr(scope, "recorder_or_none", lambda: None)
    with Watch().watching() as watch:
        pass
    assert watch.events == []
