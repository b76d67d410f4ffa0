from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.note import Note
from tachograph.events.run import Failure, StepEnded, StepStarted
from tachograph.events.usage import Usage
from tachograph.wire.sessions import claude_code
from tachograph.wire.sessions.draft import Delegation, Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import ClaudeLog, claude_odds, claude_session, encoded, outcome, read, tools, transcript


def _read(log: ClaudeLog, **origin: Any) -> list[Recorded]:
    return read(claude_code.read, log.lines, Origin("log.jsonl", **origin))


@pytest.mark.parametrize("request_id", [None, "req_1"])
def test_one_message_in_several_lines_is_one_call(request_id: str | None) -> None:
    """With or without a request id, lines of one message id are one call, one message, and the last usage counts."""
    log = ClaudeLog().user("go")
    log.said({"type": "thinking", "thinking": "hm"}, "m1", None, tokens=1, requestId=request_id)
    log.said({"type": "text", "text": "well"}, "m1", None, tokens=2, requestId=request_id)
    log.call("Bash", {"command": "ls"}, "t1", "m1", tokens=30, requestId=request_id)
    (run,) = _read(log)
    ((started, ended),) = Facts([run]).calls
    assert (started.provider, started.model, started.iteration) == ("anthropic", "claude-sonnet-4-5", 1)
    assert ended.usage == Usage(input_uncached=3, cache_read=100, cache_write=7, output=30, basis="provider")
    assert (ended.finish_reason, ended.response_id, ended.request_id) == ("tool_use", "m1", request_id)
    kinds = [block["type"] for block in transcript(run, ended.output)[-1]["content"]]
    assert kinds == ["thinking", "text", "tool_use"]


def test_a_turn_is_a_run_and_names_the_one_it_continues() -> None:
    """Two prompts are two runs of one session; the second's transcript begins with its own prompt."""
    first, second = _read(claude_session())
    starts = [Facts([run]).starts[0] for run in (first, second)]
    assert [start.input.value() for start in starts if start.input] == ["fix the till", "thanks, and the door?"]
    assert {(s.session, s.version, s.platform, s.name, s.tags) for s in starts} == {
        ("s1", "2.1.0", "claude-code", "claude-code", ("project:shop",))
    }
    assert starts[1].metadata is not None
    assert starts[1].metadata.value() == {
        "cwd": "/home/ada/shop", "git_branch": "main", "continues": first.run, "line": 6,
    }  # fmt: skip
    assert transcript(second) == [
        {"role": "user", "content": "thanks, and the door?"},
        {"role": "assistant", "content": [{"type": "text", "text": "it is open"}]},
    ]
    assert [outcome(run) for run in (first, second)] == [
        ("completed", "final_answer", "fixed"),
        ("completed", "final_answer", "it is open"),
    ]


def test_calls_wait_for_their_input_and_tools_for_their_call() -> None:
    """A call runs from its last input to its own last line, a tool from the line that asks for it to its result."""
    run = _read(claude_session())[0]
    spans = [(type(event.body).__name__, event.mono // 10**9) for event in run.events]
    assert spans == [
        ("RunStarted", 0), ("MessageAppended", 0), ("CallStarted", 0), ("MessageAppended", 2), ("CallEnded", 2),
        ("ToolStarted", 2), ("MessageAppended", 3), ("ToolEnded", 3), ("CallStarted", 3), ("MessageAppended", 4),
        ("CallEnded", 4), ("RunEnded", 4),
    ]  # fmt: skip
    assert tools(run) == [("Read", "t1", {"file_path": "/till.py"}, "completed", "print(1)")]
    assert run.events[5].body.requested_by == 2
    assert run.events[7].body.message == 6


def test_a_grown_session_changes_nothing_that_was_told() -> None:
    """However far the file is read, runs that a later prompt has ended are the same events, under the same ids."""
    log = claude_odds()
    whole = {run.run: run for run in _read(log)}
    for end in range(len(log.lines)):
        told = read(claude_code.read, log.lines[:end])
        assert {run.run for run in told} <= whole.keys()
        assert [run for run in told if not run.growing and run != whole[run.run]] == []


def test_a_broken_line_is_reported_and_the_rest_goes_in() -> None:
    """A cut line and a message of no known shape are problems with their line numbers; unknown types are nothing."""
    log = claude_session().lines
    spoiled: list[Any] = [
        *log[:3],
        b'{"type": "user", "mess',
        {"type": "user", "message": {"content": 1, "id": 7}},
        *log[3:],
    ]
    spoiled += [{"type": "new-thing", "uuid": 3, "message": []}, b"", b"   "]
    found = list(claude_code.read(encoded(spoiled), Origin("log.jsonl")))
    assert [(item.line, item.reason[:12]) for item in found if isinstance(item, Problem)] == [
        (4, "not readable"),
        (5, "Expected `st"),
    ]
    runs = [item for item in found if isinstance(item, Recorded)]
    assert [outcome(run) for run in runs] == [outcome(run) for run in _read(claude_session())]


def test_an_interrupted_run_is_cancelled() -> None:
    """A tool that was stopped is cancelled, one that was refused rejected, one without an answer goes with the run."""
    log = ClaudeLog().user("go")
    for number, name in enumerate(("Bash", "Edit", "Read")):
        log.call(name, {}, f"t{number}", "m1")
    log.result("t0", "stopped", error=True, toolUseResult={"stdout": "", "interrupted": True})
    log.result(
        "t1", "The user doesn't want to proceed with this tool use.", error=True, toolUseResult="User rejected tool use"
    )
    log.user([{"type": "text", "text": "[Request interrupted by user for tool use]"}])
    (run,) = _read(log)
    assert [(name, state) for name, _, _, state, _ in tools(run)] == [
        ("Bash", "cancelled"),
        ("Edit", "rejected"),
        ("Read", "cancelled"),
    ]
    assert outcome(run) == ("cancelled", "user_cancel", None)


def test_a_session_that_breaks_off_is_abandoned() -> None:
    """Without an answer at its end the last run is abandoned at its last line, and so are its open tools."""
    log = ClaudeLog().user("go").call("Bash", {"command": "sleep 9"}, "t1", "m1")
    (run,) = _read(log)
    assert run.growing
    assert outcome(run) == ("abandoned", "process_died", None)
    assert tools(run) == [("Bash", "t1", {"command": "sleep 9"}, "abandoned", None)]
    assert run.events[-1].mono == 10**9


def test_a_run_that_a_new_prompt_overtakes_is_superseded() -> None:
    """A prompt while tools are out ends the run before it."""
    log = ClaudeLog().user("go").call("Bash", {}, "t1", "m1").user("stop that, do this").text("done", "m2")
    first, second = _read(log)
    assert outcome(first) == ("cancelled", "superseded", None)
    assert tools(first)[0][3] == "cancelled"
    assert outcome(second) == ("completed", "final_answer", "done")


@pytest.mark.parametrize(
    ("stop", "words", "wanted"),
    [
        ("end_turn", "done", ("completed", "final_answer", "done")),
        (None, "done", ("completed", "final_answer", "done")),
        ("stop_sequence", "done", ("completed", "final_answer", "done")),
        ("max_tokens", "do", ("failed", "output_truncated", "do")),
        ("refusal", "no", ("failed", "content_filter", "no")),
        ("end_turn", " ", ("failed", "empty_reply", None)),
        (None, "", ("abandoned", "process_died", None)),
    ],
)
def test_the_last_reply_tells_how_a_run_ended(stop: str | None, words: str, wanted: tuple[str, str, Any]) -> None:
    """An answer completes a run; one that was cut, refused or empty does not."""
    assert outcome(_read(ClaudeLog().user("go").text(words, "m1", stop))[0]) == wanted


def test_failed_requests_are_attempts_of_one_iteration() -> None:
    """Each retry is a failed call that the next attempt names; what came of the last error ends the run."""
    log = ClaudeLog().user("go")
    for attempt in (1, 2):
        log.add("system", subtype="api_error", error={"status": 529, "message": "busy"}, retryAttempt=attempt)
    log.text("done", "m1").user("again")
    log.add(
        "assistant",
        isApiErrorMessage=True,
        message={"model": "<synthetic>", "content": [{"type": "text", "text": "API Error: 500"}]},
    )
    first, second = _read(log)
    calls = [(e.seq, e.body) for e in first.events if isinstance(e.body, CallStarted)]
    ends = [e.body for e in first.events if isinstance(e.body, CallEnded)]
    assert [(body.attempt, body.retry_of, body.iteration) for _, body in calls] == [
        (1, None, 1),
        (2, calls[0][0], 1),
        (3, calls[1][0], 1),
    ]
    assert [(end.status, end.http_status) for end in ends] == [("failed", 529), ("failed", 529), ("completed", None)]
    assert ends[0].error == Failure("APIError", "status 529", "overloaded")
    assert outcome(second) == ("failed", "provider_error", None)
    assert Facts([second]).ends[0].error == Failure("APIError", "API Error: 500")
    assert [end.status for _, end in Facts([second]).calls] == ["failed"]


def test_a_compaction_starts_the_transcript_anew() -> None:
    """A boundary is a step; what the model sees from then on begins with the summary."""
    log = ClaudeLog().user("go").call("Bash", {}, "t1", "m1").result("t1", "ok")
    log.add("system", subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 150_000})
    log.user("So far: all well.", isCompactSummary=True).text("done", "m2")
    (run,) = _read(log)
    steps = [event.body for event in run.events if isinstance(event.body, StepStarted | StepEnded)]
    assert [(type(body).__name__, getattr(body, "kind", None)) for body in steps] == [
        ("StepStarted", "compaction"),
        ("StepEnded", None),
    ]
    assert steps[1].metadata is not None
    assert steps[1].metadata.value() == {"trigger": "auto", "preTokens": 150_000}
    assert [message["content"] for message in transcript(run)][:1] == ["So far: all well."]


def test_commands_trigger_a_run_only_when_a_reply_follows() -> None:
    """Output of local commands joins the next run; a slash command that the model answers is a trigger of its own."""
    log = ClaudeLog()
    log.user("<command-name>/model</command-name>").user("<local-command-stdout>set</local-command-stdout>")
    log.user("hello").text("hi", "m1")
    log.user("<command-name>/review</command-name>").user("Review the till.", isMeta=True).text("fine", "m2")
    log.user("<command-name>/exit</command-name>")
    first, second = _read(log)
    said = [run.events[0].body.input.value() for run in (first, second)]
    assert said == ["hello", "<command-name>/review</command-name>"]
    assert len(transcript(first)) == 4
    assert [message["content"] for message in transcript(second)][1] == "Review the till."


def test_hints_in_the_middle_of_a_run_belong_to_it() -> None:
    """Context that the program adds while tools run is a message, not a trigger."""
    log = ClaudeLog().user("go").call("Skill", {}, "t1", "m1").result("t1", "ok").user("How to do it.", isMeta=True)
    (run,) = _read(log.text("done", "m2"))
    assert outcome(run) == ("completed", "final_answer", "done")
    assert [message["role"] for message in transcript(run)] == ["user", "assistant", "user", "user", "assistant"]


def test_lines_copied_from_another_session_count_once() -> None:
    """A line whose uuid came before is skipped; a message id of an earlier run is no second call."""
    log = claude_session()
    copied = [*log.lines, log.lines[0], log.lines[2]]
    assert read(claude_code.read, copied) == _read(claude_session())
    log.user("more").text("it is open", "m3").text("more", "m4")
    third = _read(log)[2]
    assert [end.response_id for _, end in Facts([third]).calls] == ["m4"]
    assert len(transcript(third)) == 3


def test_results_between_the_lines_of_a_message_find_their_calls() -> None:
    """Tools that run while the reply still streams are paired all the same, and the message stays one call."""
    log = ClaudeLog().user("go").call("Read", {"n": 1}, "a", "m1").result("a", "one")
    log.call("Read", {"n": 2}, "b", "m1", tokens=99).result("b", "two").text("done", "m2")
    (run,) = _read(log)
    assert tools(run) == [("Read", "a", {"n": 1}, "completed", "one"), ("Read", "b", {"n": 2}, "completed", "two")]
    assert [end.usage.output for _, end in Facts([run]).calls] == [99, 10]


def test_repeated_ids_are_answered_in_order() -> None:
    """Two calls under one id get their results by position."""
    log = ClaudeLog().user("go").call("Read", {"n": 1}, "a", "m1").call("Read", {"n": 2}, "a", "m1")
    log.result("a", "one").result("a", "two").text("done", "m2")
    assert [(given["n"], result) for _, _, given, _, result in tools(_read(log)[0])] == [(1, "one"), (2, "two")]


def test_a_sub_agent_in_the_same_file_is_a_child_run() -> None:
    """Its lines are a run of its own below the call that gave it this prompt, in the same session."""
    runs = _read(claude_odds())
    parent, child = runs[2], runs[3]
    start = Facts([child]).starts[0]
    task = next(event.seq for event in parent.events if getattr(event.body, "name", None) == "Task")
    assert (start.name, start.parent_run, start.parent_step, start.session) == ("Explore", parent.run, task, "s1")
    assert outcome(child) == ("completed", "final_answer", "seen all")
    assert parent.delegations == (Delegation("s1/a1", parent.run, task, "Explore"),)


def test_a_sub_agent_in_a_file_of_its_own_is_linked_by_its_id() -> None:
    """What the parent's log says of an agent makes its runs children, one call each; without it they stand alone."""
    main = ClaudeLog().user("look").call("Task", {"subagent_type": "Explore", "prompt": "explore"}, "t1", "m1")
    main.add("progress", parentToolUseID="t1", data={"type": "agent_progress", "agentId": "a1"})
    main.result("t1", "ok").call("Task", {"subagent_type": "Explore", "prompt": "more"}, "t2", "m2")
    main.result("t2", "ok", toolUseResult={"agentId": "a1"})
    (parent,) = _read(main)
    agent = ClaudeLog(agent="a1").user("explore").text("found", "n1").user("more").text("found more", "n2")
    links = {"s1/a1": [item for item in parent.delegations if item.agent == "s1/a1"]}
    children = _read(agent, parents=links)
    alone = _read(agent)
    assert [(s.parent_run, s.parent_step, s.name) for s in Facts(children).starts] == [
        (parent.run, item.step, "Explore") for item in parent.delegations
    ]
    assert len(parent.delegations) == 2
    assert [(s.parent_run, s.name) for s in Facts(alone).starts] == [(None, "subagent"), (None, "subagent")]
    assert [run.run for run in children] == [run.run for run in alone]


def test_a_log_that_begins_in_the_middle_is_read() -> None:
    """Replies before any prompt are a run without input."""
    (run,) = _read(ClaudeLog().text("still here", "m1"))
    assert Facts([run]).starts[0].input is None
    assert outcome(run) == ("completed", "final_answer", "still here")


def test_the_title_of_a_conversation_is_a_note_of_its_run() -> None:
    """A summary that names a message of this file is kept; titles of other sessions are not."""
    log = claude_session()
    log.add("summary", summary="The till", leafUuid=log.lines[0]["uuid"])
    log.add("summary", summary="Another", leafUuid="elsewhere")
    notes = [e.body for run in _read(log) for e in run.events if isinstance(e.body, Note)]
    assert [(note.name, note.data and note.data.value()) for note in notes] == [("summary", "The till")]


def test_prompts_typed_while_the_agent_works_are_notes() -> None:
    """What was queued reaches the model as context: it is kept beside the run, and other attachments are not."""
    log = ClaudeLog().user("go").call("Bash", {}, "t1", "m1")
    log.add("attachment", attachment={"type": "queued_command", "prompt": "and the door"})
    log.add("attachment", attachment={"type": "todo", "content": []})
    (run,) = _read(log.result("t1", "ok").text("done", "m2"))
    notes = [e.body for e in run.events if isinstance(e.body, Note)]
    assert [(note.name, note.data and note.data.value()) for note in notes] == [("queued_prompt", "and the door")]


def test_a_reply_in_plain_words_is_read() -> None:
    """Content that is a string instead of blocks is one block of text."""
    log = ClaudeLog().user("go").add("assistant", message={"id": "m1", "content": "done"})
    assert outcome(_read(log)[0]) == ("completed", "final_answer", "done")


def test_results_in_one_message_are_answered_in_order() -> None:
    """Two results of one id in the same message go to the two calls of that id."""
    log = ClaudeLog().user("go").call("Read", {"n": 1}, "a", "m1").call("Read", {"n": 2}, "a", "m1")
    results = [{"type": "tool_result", "tool_use_id": "a", "content": words} for words in ("one", "two")]
    (run,) = _read(log.user(results).text("done", "m2"))
    assert [(given["n"], result) for _, _, given, _, result in tools(run)] == [(1, "one"), (2, "two")]


def test_a_log_without_times_begins_with_its_file() -> None:
    """Lines without timestamps happen when the file was written."""
    lines = [{key: item for key, item in line.items() if key != "timestamp"} for line in claude_session().lines]
    runs = read(claude_code.read, lines, Origin("log.jsonl", at=10**18))
    assert {event.at for run in runs for event in run.events} == {10**18}


def test_lone_surrogates_and_broken_bytes_are_mended() -> None:
    """Half an emoji, cut by JavaScript, costs nothing but the half."""
    line = {"type": "user", "uuid": "u", "sessionId": "s", "timestamp": "2026-01-01T00:00:00Z"}
    log: list[Any] = [{**line, "message": {"role": "user", "content": "cut \ud83d"}}, *claude_session().lines[1:]]
    assert Facts(read(claude_code.read, log)).starts[0].input.value() == "cut \ufffd"
