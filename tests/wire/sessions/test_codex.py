from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.call import CallStarted
from tachograph.events.run import StepStarted
from tachograph.events.usage import Usage
from tachograph.wire.sessions import codex
from tachograph.wire.sessions.draft import Delegation, Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import Record, codex_count, codex_line, codex_session, encoded, outcome, read, tools, transcript

ITEM, EVENT = "response_item", "event_msg"


def _read(log: list[Any], **origin: Any) -> list[Recorded]:
    return read(codex.read, log, Origin("rollout.jsonl", **origin))


def _words(text: str, second: int, **fields: Any) -> Record:
    content = [{"type": "output_text", "text": text}]
    return codex_line(ITEM, second, type="message", role="assistant", content=content, **fields)


def _prompt(text: str, second: int) -> Record:
    return codex_line(EVENT, second, type="user_message", message=text)


def _event(kind: str, **fields: Any) -> Record:
    return codex_line(EVENT, 5, type=kind, **fields)


def test_a_user_message_is_a_run_and_a_response_a_call() -> None:
    """Runs share the thread as session; the model of the turn, what the totals grew by, and the answer are there."""
    first, second = _read(codex_session())
    start = Facts([first]).starts[0]
    assert (start.session, start.version, start.platform, start.tags) == ("thread-1", "0.9", "codex", ("project:shop",))
    assert start.metadata is not None
    assert start.metadata.value() == {"cwd": "/home/ada/shop", "git_branch": "main", "line": 4}
    assert [(s.provider, s.model, s.params and s.params.value()) for s, _ in Facts([first]).calls] == [
        ("openai", "gpt-5-codex", {"effort": "high"})
    ] * 2
    assert [end.usage for _, end in Facts([first]).calls] == [
        Usage(input_uncached=50, cache_read=50, output=20, reasoning=10, basis="provider"),
        Usage(input_uncached=75, cache_read=75, output=10, reasoning=5, basis="provider"),
    ]
    assert tools(first) == [("shell", "c1", {"cmd": ["ls"]}, "completed", "a\nb")]
    assert [outcome(run) for run in (first, second)] == [
        ("completed", "final_answer", "two files"),
        ("completed", "final_answer", "done"),
    ]
    assert [end.usage.basis for _, end in Facts([second]).calls] == ["missing"]


def test_a_prompt_logged_twice_stands_in_the_transcript_once() -> None:
    """The item that the model saw is kept, whether it comes before or after the event; else the event's words."""
    item = codex_line(ITEM, 1, type="message", role="user", content=[{"type": "input_text", "text": "list files"}])
    before, after = codex_session(), codex_session()
    after.insert(3, after.pop(2))
    assert [message["type"] for message in transcript(_read(before)[0])][:2] == ["message", "reasoning"]
    assert transcript(_read(before)[0])[0] == item["payload"]
    assert transcript(_read(after)[0])[0] == item["payload"]
    assert transcript(_read(before)[1])[0] == {"role": "user", "content": "and now?"}


def test_a_prompt_that_overtakes_a_run_is_not_part_of_it() -> None:
    """The item of a prompt, logged before its event while the run before is not over, opens the new run."""
    item = codex_line(ITEM, 3, type="message", role="user", content=[{"type": "input_text", "text": "stop"}])
    asked = codex_line(ITEM, 2, type="function_call", name="shell", arguments="{}", call_id="c1")
    first, second = _read([_prompt("go", 1), asked, item, _prompt("stop", 3), _words("ok", 4)])
    assert [message["type"] for message in transcript(first) if "type" in message] == ["function_call"]
    assert transcript(second)[0] == item["payload"]


def test_instructions_open_every_transcript() -> None:
    """What the session was told at its start is the first message of each run."""
    log = codex_session()
    log[0]["payload"]["base_instructions"] = {"text": "You are careful."}
    assert [transcript(run)[0] for run in _read(log)] == [{"role": "system", "content": "You are careful."}] * 2


def test_a_grown_rollout_changes_nothing_that_was_told() -> None:
    """However far the file is read, runs that a later prompt has ended are the same events, under the same ids."""
    log = codex_session()
    whole = {run.run: run for run in _read(log)}
    for end in range(len(log)):
        told = _read(log[:end])
        assert [run for run in told if not run.growing and run != whole[run.run]] == []


def test_a_broken_line_is_reported_and_the_rest_goes_in() -> None:
    """A cut line is a problem with its number; types nobody knows are nothing."""
    log: list[Any] = codex_session()
    log[4:4] = [b'{"timestamp":"2026', codex_line("new_thing", 2, x=1), codex_line(EVENT, 2, type="new_event")]
    found = list(codex.read(encoded(log), Origin("rollout.jsonl")))
    assert [item.line for item in found if isinstance(item, Problem)] == [5]
    assert [outcome(run)[2] for run in found if isinstance(run, Recorded)] == ["two files", "done"]


@pytest.mark.parametrize(
    ("ending", "wanted", "state"),
    [
        ([], ("abandoned", "process_died", None), "abandoned"),
        ([_event("turn_aborted", reason="interrupted")], ("cancelled", "user_cancel", None), "cancelled"),
        ([_event("turn_aborted", reason="replaced")], ("cancelled", "superseded", None), "cancelled"),
        ([_event("error", message="limit")], ("failed", "provider_error", None), "abandoned"),
        ([_event("task_complete")], ("failed", "empty_reply", None), "abandoned"),
        ([_prompt("no, this", 5)], ("cancelled", "superseded", None), "cancelled"),
    ],
    ids=["breaks off", "interrupted", "replaced", "error", "over without an answer", "overtaken"],
)  # fmt: skip
def test_how_a_run_without_an_answer_ends(ending: list[Record], wanted: tuple[str, str, Any], state: str) -> None:
    """Interrupted, overtaken, failed or just cut off: the run says which, and its open tool goes with it."""
    log = [
        _prompt("go", 1),
        codex_line(ITEM, 2, type="function_call", name="shell", arguments="{}", call_id="c1"),
        *ending,
    ]
    run = _read(log)[0]
    assert outcome(run) == wanted
    assert tools(run)[0][3] == state


@pytest.mark.parametrize(
    ("output", "state"),
    [
        ("fine", "completed"),
        ([{"type": "input_text", "text": "fine"}], "completed"),
        ({"content": "fine", "success": True}, "completed"),
        ({"content": "no", "success": False}, "failed"),
        ('{"output":"no","metadata":{"exit_code":2}}', "failed"),
        ('{"output":"ok","metadata":{"exit_code":0}}', "completed"),
        ("aborted by user after 2.1s", "cancelled"),
    ],
    ids=str,
)
def test_an_output_tells_the_state_of_its_tool(output: Any, state: str) -> None:
    """Success and exit codes where they are structured; the output is the result as it stands."""
    log = [
        _prompt("go", 1),
        codex_line(ITEM, 2, type="custom_tool_call", name="apply_patch", input="*** Begin", call_id="c1"),
        codex_line(ITEM, 3, type="custom_tool_call_output", call_id="c1", output=output),
        _words("done", 4),
    ]
    assert tools(_read(log)[0]) == [("apply_patch", "c1", "*** Begin", state, output)]


def test_tools_the_provider_runs_are_over_at_once() -> None:
    """A web search has no result of its own; MCP tools carry their server's name."""
    log = [
        _prompt("go", 1),
        codex_line(ITEM, 2, type="web_search_call", status="completed", action={"type": "search", "query": "q"}),
        codex_line(ITEM, 2, type="function_call", name="js", namespace="mcp__repl__", arguments="1+1", call_id="c"),
        codex_line(ITEM, 3, type="function_call_output", call_id="c", output="2"),
        _words("done", 4),
    ]
    assert tools(_read(log)[0]) == [
        ("web_search", None, {"type": "search", "query": "q"}, "completed", None),
        ("mcp__repl__js", "c", "1+1", "completed", "2"),
    ]


def test_totals_that_start_over_are_taken_as_they_are() -> None:
    """After a restart the totals are smaller than before: they count from zero, nothing is negative."""
    log = [
        _prompt("go", 1),
        _words("a", 2, phase="commentary"),
        codex_count(2, 500, 50),
        _words("b", 3),
        codex_count(3, 80, 6),
    ]
    ends = [end.usage for _, end in Facts(_read(log)).calls]
    assert [(used.input_total, used.output) for used in ends] == [(500, 50), (80, 6)]


def test_commentary_on_the_way_is_no_answer() -> None:
    """Words of the commentary phase do not complete a run."""
    log = [_prompt("go", 1), _words("working on it", 2, phase="commentary")]
    assert outcome(_read(log)[0]) == ("abandoned", "process_died", None)


def test_a_compaction_starts_the_transcript_anew() -> None:
    """The history that replaces the conversation is what the next call sees."""
    history = [{"type": "message", "role": "user", "content": "so far"}]
    log = [
        _prompt("go", 1),
        codex_line(ITEM, 2, type="function_call", name="shell", arguments="{}", call_id="c1"),
        codex_line(ITEM, 3, type="function_call_output", call_id="c1", output="ok"),
        codex_line("compacted", 4, message="", replacement_history=history),
        _words("done", 5),
    ]
    (run,) = _read(log)
    assert transcript(run)[0] == history[0]
    assert len(transcript(run)) == 2
    assert [event.body.kind for event in run.events if isinstance(event.body, StepStarted)] == ["compaction"]


def test_bare_items_of_old_rollouts_are_read() -> None:
    """Without envelopes, a user's item is the prompt, context in their name is not, and the head tells the time."""
    log = [
        {"id": "old-1", "timestamp": "2025-06-01T12:00:00Z", "instructions": "Be brief.", "git": {"branch": "b"}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>x"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
        {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}},
        {"type": "function_call_output", "call_id": "c1", "output": "a"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "again"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done again"}]},
    ]
    runs = _read(log)
    assert [run.events[0].body.input.value() for run in runs] == ["go", "again"]
    assert [outcome(run)[2] for run in runs] == ["done", "done again"]
    assert tools(runs[0]) == [("local_shell", "c1", {"command": ["ls"]}, "completed", "a")]
    assert runs[0].events[0].at == 1_748_779_200_000_000_000


def test_a_sub_agent_is_linked_by_its_thread() -> None:
    """A spawned agent's rollout is a child of the call that spawned it, when its parent's log is known."""
    parent_log = [
        _prompt("go", 1),
        codex_line(ITEM, 2, type="function_call", name="spawn_agent", arguments='{"message":"look"}', call_id="c1"),
        codex_line(ITEM, 3, type="function_call_output", call_id="c1", output='{"agent_id":"thread-2"}'),
        _words("done", 4),
    ]
    (parent,) = _read(parent_log)
    spawn = next(event.seq for event in parent.events if getattr(event.body, "name", None) == "spawn_agent")
    assert parent.delegations == (Delegation("thread-2", parent.run, spawn, "subagent"),)
    log = codex_session()
    log[0]["payload"]["id"] = "thread-2"
    child = Facts(_read(log, parents={"thread-2": parent.delegations})).starts[0]
    assert (child.parent_run, child.parent_step, child.name) == (parent.run, spawn, "subagent")


def test_a_log_that_begins_with_a_reply_is_read() -> None:
    """Items before any prompt are a run without input."""
    (run,) = _read([_words("still here", 1)])
    assert Facts([run]).starts[0].input is None
    assert [event.body.model for event in run.events if isinstance(event.body, CallStarted)] == ["unknown"]
