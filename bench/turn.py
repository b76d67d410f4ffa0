"""What a runtime costs a turn: a model's reply and one tool, with scripted models and a trivial async tool.

Ours records everything (journal, drain into SQLite, limits checked and reserved); the peers run without tracing and
without a store. Rounds are interleaved, so that a slow moment of the machine hits all of them; the best round counts.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tachograph
from bench.kit.table import named, show
from tachograph.agent.agent import Agent
from tachograph.providers.scripted import Answer, Call, ScriptedModel

TURNS = (50, 400)
ROUNDS = 3
LIMITS = "1000 turns, 1000 tool calls, 2000 model calls, no limit on tokens"

Run = Callable[[int], Awaitable[object]]
"""A whole run of so many turns."""


async def look(n: int) -> str:
    """Look something up."""
    return f"result {n}"


async def ours(turns: int) -> None:
    """Tachograph, with full recording."""
    script: list[Answer] = [*(Call("look", {"n": n}) for n in range(turns)), "done"]
    agent = Agent(name="bench", model=ScriptedModel(script), tools=[look], limits=LIMITS)
    assert (await agent.run("go")).completed


def pydantic_ai() -> Run:
    """Pydantic AI's own agent, with a function for a model."""
    from pydantic_ai import Agent as Theirs
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.usage import UsageLimits

    async def run(turns: int) -> None:
        left = iter(range(turns))

        def reply(messages: Any, info: Any) -> ModelResponse:
            n = next(left, None)
            return ModelResponse([TextPart("done") if n is None else ToolCallPart("look", {"n": n})])

        agent = Theirs(FunctionModel(reply))
        agent.tool_plain(look)
        found = await agent.run("go", usage_limits=UsageLimits(request_limit=turns + 10))
        assert found.output == "done"

    return run


def openai_agents() -> Run:
    """The OpenAI Agents SDK, tracing off."""
    from agents import Agent as Theirs
    from agents import Runner, function_tool, set_tracing_disabled
    from agents.items import ModelResponse
    from agents.models.interface import Model
    from agents.usage import Usage
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    set_tracing_disabled(True)

    class Scripted(Model):
        def __init__(self, turns: int) -> None:
            self.left = iter(range(turns))

        async def get_response(self, *args: Any, **facts: Any) -> ModelResponse:
            n = next(self.left, None)
            if n is None:
                text = ResponseOutputText(text="done", type="output_text", annotations=[])
                item: Any = ResponseOutputMessage(
                    id="m", content=[text], role="assistant", status="completed", type="message"
                )
            else:
                item = ResponseFunctionToolCall(
                    arguments=f'{{"n":{n}}}', call_id=f"c{n}", name="look", type="function_call"
                )
            return ModelResponse(output=[item], usage=Usage(), response_id=None)

        def stream_response(self, *args: Any, **facts: Any) -> Any:
            raise NotImplementedError

    tool = function_tool(look)

    async def run(turns: int) -> None:
        agent = Theirs(name="bench", model=Scripted(turns), tools=[tool])
        found = await Runner.run(agent, "go", max_turns=turns + 10)
        assert found.final_output == "done"

    return run


def langgraph() -> Run:
    """LangGraph: a node for the model, its tool node, and the edge between them; no checkpointer."""
    from langchain_core.messages import AIMessage
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    async def run(turns: int) -> None:
        left = iter(range(turns))

        async def model(state: Any) -> dict[str, Any]:
            n = next(left, None)
            if n is None:
                return {"messages": [AIMessage("done")]}
            return {"messages": [AIMessage("", tool_calls=[{"name": "look", "args": {"n": n}, "id": f"c{n}"}])]}

        graph = StateGraph(MessagesState)
        graph.add_node("model", model)
        graph.add_node("tools", ToolNode([look]))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
        graph.add_edge("tools", "model")
        app = graph.compile()
        found = await app.ainvoke({"messages": [("user", "go")]}, {"recursion_limit": 2 * turns + 10})
        assert found["messages"][-1].content == "done"

    return run


async def timed(run: Run, turns: int) -> tuple[float, float]:
    """Milliseconds a turn: wall time, and CPU of the whole process."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await run(turns)
    return (time.perf_counter() - wall) / turns * 1e3, (time.process_time() - cpu) / turns * 1e3


async def measured(runs: dict[str, Run]) -> dict[tuple[str, int], tuple[float, float]]:
    """(product, turns) → the best round."""
    best: dict[tuple[str, int], tuple[float, float]] = {}
    for name, run in runs.items():
        await run(5)
        best.update({(name, turns): (float("inf"), float("inf")) for turns in TURNS})
    for _ in range(ROUNDS):
        for turns in TURNS:
            for name, run in runs.items():
                best[name, turns] = min(best[name, turns], await timed(run, turns))
    return best


@contextmanager
def recording() -> Iterator[None]:
    """Into a store of its own."""
    with tempfile.TemporaryDirectory() as home:
        system = tachograph.configure(home=Path(home), store=f"sqlite:{home}/bench.db")
        yield
        assert tachograph.flush(60)
        assert not system.recorder.health.lost
        system.close()


def main() -> None:
    """Print the table."""
    runs: dict[str, Run] = {
        "tachograph, full recording": ours,
        named("langgraph"): langgraph(),
        named("pydantic-ai-slim"): pydantic_ai(),
        named("openai-agents"): openai_agents(),
    }
    with recording():
        best = asyncio.run(measured(runs))
    rows = []
    for name in runs:
        (short, short_cpu), (long, long_cpu) = (best[name, turns] for turns in TURNS)
        rows.append(
            (name, f"{short:.2f}", f"{long:.2f}", f"{short_cpu:.2f}", f"{long_cpu:.2f}", f"{long / short:.1f} x")
        )
    head = ("a turn: reply and one tool", "ms, 50 turns", "ms, 400 turns", "CPU ms, 50", "CPU ms, 400", "400 / 50")
    show("Runtime cost of a turn", head, rows)


if __name__ == "__main__":
    main()
