"""Tiny made-up logs of every format, and ways to read and to spoil them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tachograph.wire.sessions.draft import Origin, Problem, Reader, Recorded
from tests.wire.recordings import Facts
from tests.wire.sound import faults

Record = dict[str, Any]


def encoded(records: Iterable[Any]) -> list[tuple[int, bytes]]:
    """Records as numbered lines; bytes stand for themselves."""
    return [
        (number, item if isinstance(item, bytes) else json.dumps(item).encode())
        for number, item in enumerate(records, 1)
    ]


def read(reader: Reader, records: Iterable[Any], origin: Origin | None = None) -> list[Recorded]:
    """The runs of a log that has no problems; each is sound."""
    found = list(reader(encoded(records), origin or Origin("log.jsonl")))
    assert [item for item in found if isinstance(item, Problem)] == []
    runs = [item for item in found if isinstance(item, Recorded)]
    assert [fault for run in runs for fault in faults(run.events)] == []
    return runs


def outcome(run: Recorded) -> tuple[str, str, Any]:
    """(status, stop reason, answer) of a run."""
    end = Facts([run]).ends[0]
    return end.status, end.stop_reason, None if end.output is None else end.output.value()


def tools(run: Recorded) -> list[tuple[str, str | None, Any, str, Any]]:
    """Tool calls of a run: (name, id, arguments, state, result)."""
    return [
        (
            tool.name,
            tool.call_id,
            None if tool.arguments is None else tool.arguments.value(),
            end.state,
            None if end.result is None else end.result.value(),
        )
        for tool, end in Facts([run]).tools
    ]


def transcript(run: Recorded, tip: int | None = None) -> list[Any]:
    """The messages on the path to a node (by default the last message), first to last."""
    messages = {event.seq: event.body for event in run.events if hasattr(event.body, "role")}
    found: list[Any] = []
    here: int | None = max(messages, default=None) if tip is None else tip
    while here is not None:
        found.append(messages[here].message.value())
        here = messages[here].parent
    return found[::-1]


# --- Claude Code ---


class ClaudeLog:
    """Writes a session's log by hand: ids counted, a second between lines."""

    def __init__(self, session: str = "s1", agent: str | None = None) -> None:
        self.session, self.agent = session, agent
        self.lines: list[Record] = []

    def add(self, kind: str, **fields: Any) -> ClaudeLog:
        """One line with the envelope."""
        number = len(self.lines)
        uuid = f"{self.session}-{self.agent or 'main'}-{number}"
        envelope: Record = {
            "parentUuid": self.lines[-1].get("uuid") if self.lines else None,
            "isSidechain": self.agent is not None,
            "cwd": "/home/ada/shop",
            "sessionId": self.session,
            "version": "2.1.0",
            "gitBranch": "main",
            "type": kind,
            "uuid": uuid,
            "timestamp": f"2026-01-02T10:{number // 60:02}:{number % 60:02}.000Z",
        }
        if self.agent is not None:
            envelope["agentId"] = self.agent
        self.lines.append({**envelope, **fields})
        return self

    def user(self, content: Any, **fields: Any) -> ClaudeLog:
        """Something a person, or the program in their name, said."""
        return self.add("user", message={"role": "user", "content": content}, **fields)

    def said(self, block: Record, name: str, stop: str | None = None, tokens: int = 10, **fields: Any) -> ClaudeLog:
        """One block of an API message; lines with the same name are one message."""
        usage = {
            "input_tokens": 3,
            "output_tokens": tokens,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 7,
        }
        message = {
            "id": name, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [block],
            "stop_reason": stop, "usage": usage,
        }  # fmt: skip
        return self.add("assistant", message=message, **fields)

    def text(self, words: str, name: str, stop: str | None = "end_turn", **fields: Any) -> ClaudeLog:
        """A reply in words."""
        return self.said({"type": "text", "text": words}, name, stop, **fields)

    def call(self, tool: str, given: Record, call_id: str, name: str, **fields: Any) -> ClaudeLog:
        """A reply that calls a tool."""
        return self.said({"type": "tool_use", "id": call_id, "name": tool, "input": given}, name, "tool_use", **fields)

    def result(self, call_id: str, content: Any, *, error: bool | None = None, **fields: Any) -> ClaudeLog:
        """What the tool answered."""
        block: Record = {"type": "tool_result", "tool_use_id": call_id, "content": content}
        return self.user([{**block, "is_error": error} if error is not None else block], **fields)


def claude_session() -> ClaudeLog:
    """Two turns: one with a tool, whose message is logged in two lines, and a question."""
    log = ClaudeLog().user("fix the till")
    log.said({"type": "thinking", "thinking": "hm", "signature": "x"}, "m1", None, tokens=1)
    log.call("Read", {"file_path": "/till.py"}, "t1", "m1", tokens=20).result("t1", "print(1)")
    log.text("fixed", "m2").user("thanks, and the door?").text("it is open", "m3")
    return log


def claude_odds() -> ClaudeLog:
    """The same, then everything that is rare: a sub-agent, a compaction, a retry, an interruption, a command."""
    log = claude_session().user("look around")
    log.call("Task", {"subagent_type": "Explore", "prompt": "explore"}, "t2", "m4")
    log.user("explore", isSidechain=True).text("seen all", "m5", isSidechain=True)
    log.result("t2", "seen all", toolUseResult={"agentId": "a1", "status": "completed"})
    log.add("system", subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 9})
    log.user("what was said so far", isCompactSummary=True)
    log.add("system", subtype="api_error", error={"status": 529}, retryAttempt=1)
    log.call("Bash", {"command": "sleep 9"}, "t3", "m6")
    log.result("t3", "stopped", error=True, toolUseResult={"interrupted": True})
    log.user("[Request interrupted by user for tool use]")
    log.user("<command-name>/review</command-name>").user("Review it.", isMeta=True).text("reviewed", "m7")
    log.add("summary", summary="The till", leafUuid=log.lines[0]["uuid"])
    log.add("unknown-type", message=7)
    return log


# --- the others ---


def codex_line(kind: str, second: int, **payload: Any) -> Record:
    """A line of a rollout in its envelope."""
    return {"timestamp": f"2026-02-03T08:00:{second:02}.000Z", "type": kind, "payload": payload}


def codex_count(second: int, total: int, output: int) -> Record:
    """A `token_count`: totals so far."""
    totals = {
        "input_tokens": total, "cached_input_tokens": total // 2, "output_tokens": output,
        "reasoning_output_tokens": output // 2, "total_tokens": total + output,
    }  # fmt: skip
    return codex_line("event_msg", second, type="token_count", info={"total_token_usage": totals})


def codex_session() -> list[Record]:
    """Two turns: one with a tool, one answered at once."""
    item, event = "response_item", "event_msg"
    words = [{"type": "output_text", "text": "two files"}]
    return [
        codex_line("session_meta", 0, id="thread-1", cwd="/home/ada/shop", cli_version="0.9", git={"branch": "main"}),
        codex_line("turn_context", 1, model="gpt-5-codex", effort="high"),
        codex_line(item, 1, type="message", role="user", content=[{"type": "input_text", "text": "list files"}]),
        codex_line(event, 1, type="user_message", message="list files"),
        codex_line(item, 3, type="reasoning", summary=[], encrypted_content="gAAA"),
        codex_line(item, 4, type="function_call", name="shell", arguments='{"cmd":["ls"]}', call_id="c1"),
        codex_count(4, 100, 20),
        codex_line(item, 5, type="function_call_output", call_id="c1", output="a\nb"),
        codex_line(item, 7, type="message", role="assistant", content=words),
        codex_count(7, 250, 30),
        codex_count(7, 250, 30),
        codex_line(event, 8, type="task_complete", last_agent_message="two files"),
        codex_line(event, 9, type="user_message", message="and now?"),
        codex_line(item, 10, type="message", role="assistant", content=[{"type": "output_text", "text": "done"}]),
    ]


def gemini_chat() -> Record:
    """Two turns: one with a tool, one that ends in an error."""

    def at(second: int) -> str:
        return f"2026-03-04T09:00:{second:02}.000Z"

    tool = {
        "id": "g1", "name": "read_file", "args": {"path": "a"}, "status": "success", "timestamp": at(3),
        "result": [{"functionResponse": {"id": "g1", "name": "read_file", "response": {"output": "x"}}}],
    }  # fmt: skip
    tokens = {"input": 50, "output": 5, "cached": 20, "thoughts": 7, "tool": 0, "total": 62}
    reply = {"type": "gemini", "model": "gemini-3-pro", "tokens": tokens, "thoughts": []}
    return {
        "sessionId": "chat-1",
        "projectHash": "abc",
        "startTime": at(0),
        "lastUpdated": at(9),
        "messages": [
            {"id": "u1", "timestamp": at(0), "type": "user", "content": "read a"},
            {"id": "r1", "timestamp": at(2), "content": "", "toolCalls": [tool], **reply},
            {"id": "r2", "timestamp": at(4), "content": "it says x", **reply},
            {"id": "u2", "timestamp": at(5), "type": "user", "content": "again"},
            {"id": "e1", "timestamp": at(6), "type": "error", "content": "no connection"},
        ],
    }


def tau2_simulation() -> Record:
    """An agent and a simulated customer who both call tools; the agent's provider repeats the id of a call."""

    def at(second: int) -> str:
        return f"2026-05-06T07:00:{second:02}.500000"

    def call(name: str, who: str) -> Record:
        return {"id": "same", "name": name, "arguments": {"n": 1}, "requestor": who}

    used = {"prompt_tokens": 10, "completion_tokens": 2}
    raw = {"id": "r", "model": "gpt-4.1", "choices": [{"finish_reason": "stop"}]}
    spoken = {"usage": used, "cost": 0.001, "tool_calls": None, "raw_data": raw}
    agent = {"role": "assistant", **spoken}
    user = {"role": "user", **spoken}
    answer = {"role": "tool", "id": "same"}
    return {
        "id": "sim-1", "task_id": "7", "trial": 0, "seed": 3, "start_time": at(0), "end_time": at(20), "duration": 20.0,
        "termination_reason": "user_stop", "agent_cost": 0.003, "user_cost": 0.002,
        "reward_info": {"reward": 1.0, "reward_breakdown": {"DB": 1.0}},
        "messages": [
            {"role": "assistant", "content": "Hi!", "tool_calls": None, "cost": 0.0, "usage": None, "timestamp": at(0)},
            {**user, "content": "my phone is dead", "timestamp": at(2)},
            {**agent, "content": None, "tool_calls": [call("look_up", "assistant")], "timestamp": at(4)},
            {**answer, "content": "one", "requestor": "assistant", "error": False, "timestamp": at(5)},
            {**agent, "content": None, "tool_calls": [call("look_up", "assistant")], "timestamp": at(6)},
            {**answer, "content": "two", "requestor": "assistant", "error": True, "timestamp": at(7)},
            {**agent, "content": "please restart it", "timestamp": at(9)},
            {**user, "content": None, "tool_calls": [call("restart", "user")], "timestamp": at(11)},
            {**answer, "content": "ok", "requestor": "user", "error": False, "timestamp": at(12)},
            {**user, "content": "works ###STOP###", "timestamp": at(14)},
        ],
    }  # fmt: skip


def openai_messages() -> list[Record]:
    """A conversation in OpenAI's shape."""
    asked = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}]
    return [
        {"role": "system", "content": "You add."},
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": None, "tool_calls": asked},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "assistant", "content": "It is 3."},
    ]


def anthropic_messages() -> list[Record]:
    """A conversation in Anthropic's shape, with what each reply used."""
    used = {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}
    asked = [
        {"type": "text", "text": "One moment."},
        {"type": "tool_use", "id": "u1", "name": "add", "input": {"a": 1}},
    ]
    result = {"type": "tool_result", "tool_use_id": "u1", "content": "no", "is_error": True}
    return [
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": asked, "model": "claude-haiku-4-5", "usage": used},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": [{"type": "text", "text": "I cannot."}], "model": "claude-haiku-4-5"},
    ]


def tau_result() -> Record:
    """A conversation of tau-bench."""
    stop = {"role": "user", "content": "thanks ###STOP###"}
    info = {"task": {}, "user_cost": 0.002, "source": "user"}
    return {"task_id": 4, "reward": 1.0, "trial": 2, "info": info, "traj": [*openai_messages(), stop]}


def openhands_call(number: int, messages: Sequence[Record], tool: str | None) -> Record:
    """The log of one model call."""
    arguments = json.dumps({"command": f"step {number}"})
    called = [{"index": 1, "id": f"t{number}", "type": "function", "function": {"name": tool, "arguments": arguments}}]
    message = {"role": "assistant", "content": f"reply {number}", "tool_calls": called if tool else None}
    return {
        "messages": list(messages),
        "response": {
            "id": f"r{number}", "model": "litellm_proxy/claude-3-5-sonnet-20241022",
            "choices": [{"finish_reason": "tool_calls" if tool else "stop", "index": 0, "message": message}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109},
        },
        "timestamp": 1_770_000_000.5 + 10 * number,
        "latency_sec": 2.0,
        "cost": 0.0125,
        "kwargs": {"tools": [{"name": tool}], "temperature": 0},
    }  # fmt: skip


def openhands_calls() -> list[Record]:
    """Two calls of one conversation, in files of their own."""
    first = [{"role": "system", "content": "Work."}, {"role": "user", "content": "Fix it."}]
    reply = {"role": "assistant", "content": "reply 1"}
    then = [*first, reply, {"role": "tool", "tool_call_id": "t1", "content": "ran"}]
    return [openhands_call(1, first, "execute_bash"), openhands_call(2, then, "finish")]


def openhands_record() -> Record:
    """The record of an evaluation that ran out of iterations."""

    def reply(number: int) -> Record:
        function = {"name": "execute_bash", "arguments": '{"command":"make"}'}
        called = [{"id": f"t{number}", "type": "function", "function": function}]
        return {
            "id": f"r{number}", "model": "gpt-4.1", "usage": {"prompt_tokens": 50, "completion_tokens": 5},
            "choices": [{"finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": called}}],
        }  # fmt: skip

    def came(number: int) -> Record:
        return {"tool_call_id": f"t{number}", "function_name": "execute_bash", "model_response": reply(number)}

    def event(number: int, **fields: Any) -> Record:
        return {"id": number, "timestamp": f"2026-04-05T06:00:{number:02}", "source": "agent", **fields}

    return {
        "instance_id": "shop-1",
        "metadata": {"agent_class": "CodeActAgent", "llm_config": {"model": "openai/gpt-4.1"}},
        "history": [
            event(0, action="system", args={"content": "Work.", "tools": [{"name": "execute_bash"}]}),
            event(1, action="message", source="user", args={"content": "Fix it."}),
            event(2, action="recall", source="user", args={"query": "Fix it."}),
            event(3, observation="recall", cause=2, content="nothing known"),
            event(6, action="run", args={"command": "make"}, tool_call_metadata=came(1)),
            event(7, observation="run", cause=6, content="boom", success=False, tool_call_metadata=came(1)),
        ],
        "metrics": {"costs": [{"cost": 0.5}], "response_latencies": [{"response_id": "r1", "latency": 2.5}]},
        "error": "RuntimeError: Agent reached maximum iteration",
        "test_result": {"report": {"resolved": False}},
    }


def swe_trajectory() -> Record:
    """Two steps, the tool named inside the text."""
    return {
        "environment": "shop",
        "trajectory": [
            {"action": "open till.py\n", "observation": "1: print(1)", "execution_time": 1.5},
            {"action": "submit\n", "observation": "done", "execution_time": 0.5},
        ],
        "history": [
            {"role": "system", "content": "Work.", "agent": "main"},
            {"role": "user", "content": "Fix it.", "agent": "main"},
            {"role": "assistant", "content": "Let me look.", "action": "open till.py\n", "agent": "main"},
            {"role": "user", "content": "1: print(1)\n$", "agent": "main"},
            {"role": "assistant", "content": "Good.", "action": "submit\n", "agent": "main"},
        ],
        "info": {"exit_status": "submitted", "submission": "diff", "model_stats": {"api_calls": 2}},
    }


def failure_log() -> Record:
    """Three agents, one mistake."""
    return {
        "question": "How many?", "question_ID": "q1", "level": "1", "ground_truth": "4", "is_correct": False,
        "mistake_agent": "Counter", "mistake_step": "1", "mistake_reason": "It counted twice.",
        "history": [
            {"role": "human", "content": "How many?"},
            {"role": "assistant", "name": "Counter", "content": "Eight."},
            {"role": "user", "name": "Checker", "content": "TERMINATE"},
        ],
    }  # fmt: skip


def wrapped(record: Any, name: str = "w1") -> Record:
    """A record in the wrapping of a collection."""
    return {"id": name, "format": "made up", "source": {"path": "a/b.json"}, "record": record}


def every_format() -> dict[str, list[Any]]:
    """Format → the lines of a log of it."""
    return {
        "claude-code": claude_odds().lines,
        "codex": codex_session(),
        "gemini-cli": [gemini_chat()],
        "tau-bench": [[tau_result()]],
        "tau2-bench": [{"info": {"agent_info": {"llm": "gpt-4.1"}}, "simulations": [tau2_simulation()]}],
        "openhands": [*openhands_calls(), openhands_record()],
        "swe-agent": [swe_trajectory()],
        "who-and-when": [failure_log()],
        "messages": [{"model": "gpt-4o", "messages": openai_messages()}, anthropic_messages()],
        "wrapped": [wrapped(tau2_simulation()), wrapped(codex_session(), "w2")],
    }
