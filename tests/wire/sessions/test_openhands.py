from __future__ import annotations

from typing import Any

from tachograph.events.call import CallStarted
from tachograph.wire.sessions import openhands
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.wire.recordings import Facts
from tests.wire.samples import Record, encoded, openhands_call, openhands_calls, outcome, read, tools, transcript

FIRST = [{"role": "system", "content": "Work."}, {"role": "user", "content": "Fix it."}]


def _joined(counts: list[int], messages: list[Record], calls: list[Record]) -> Record:
    logged = [{**call, "n_messages": count} for count, call in zip(counts, calls, strict=True)]
    for call in logged:
        del call["messages"], call["kwargs"], call["latency_sec"]
    return {
        "instance_id": "shop-1", "attempt": 0, "llm_calls": logged, "messages_of_last_call": messages,
        "kwargs_of_last_call": {"tools": [{"name": "execute_bash"}]},
    }  # fmt: skip


def test_logs_of_calls_are_joined_by_what_they_were_sent() -> None:
    """Each message is told once, at the call that saw it first; tools find their results; times and cost are kept."""
    (run,) = read(openhands.read, openhands_calls())
    calls = Facts([run]).calls
    assert [(start.provider, start.model, end.reported_cost) for start, end in calls] == [
        ("anthropic", "claude-3-5-sonnet-20241022", 12_500_000)
    ] * 2
    assert [start.params and start.params.value() for start, _ in calls] == [{"temperature": 0}] * 2
    assert [start.tools and start.tools.value() for start, _ in calls] == [
        [{"name": "execute_bash"}],
        [{"name": "finish"}],
    ]
    assert [message["content"] for message in transcript(run)] == ["Work.", "Fix it.", "reply 1", "ran", "reply 2"]
    assert tools(run) == [
        ("execute_bash", "t1", {"command": "step 1"}, "completed", "ran"),
        ("finish", "t2", {"command": "step 2"}, "completed", None),
    ]
    assert outcome(run) == ("completed", "final_answer", "reply 2")
    starts = [event.mono // 10**9 for event in run.events if isinstance(event.body, CallStarted)]
    assert (starts, (run.events[-1].at - run.events[0].at) // 10**9) == ([0, 10], 12)


def test_calls_of_other_conversations_stay_apart() -> None:
    """Calls whose messages do not begin alike are runs of their own, in any order of the files."""
    other = openhands_call(5, [{"role": "user", "content": "Something else."}], None)
    runs = read(openhands.read, [other, *reversed(openhands_calls())])
    assert [(len(Facts([run]).calls), outcome(run)[1]) for run in runs] == [(2, "final_answer"), (1, "final_answer")]


def test_marks_of_prompt_caching_do_not_part_a_conversation() -> None:
    """The marks move from call to call; the messages are the same."""
    calls = openhands_calls()
    calls[0]["messages"][1] = {"role": "user", "content": "Fix it.", "cache_control": {"type": "ephemeral"}}
    assert len(read(openhands.read, calls)) == 1


def test_results_without_function_calling_are_what_the_user_says_next() -> None:
    """Where tools are called in text, the next user message answers the oldest open call."""
    calls = openhands_calls()
    calls[1]["messages"][3] = {"role": "user", "content": "EXECUTION RESULT: ran"}
    assert tools(read(openhands.read, calls)[0])[0][3:] == ("completed", "EXECUTION RESULT: ran")


def test_a_joined_record_is_told_by_its_counts() -> None:
    """A record that keeps the messages once says how many of them each call saw."""
    messages = openhands_calls()[1]["messages"]
    (run,) = read(openhands.read, [_joined([2, 4], messages, openhands_calls())])
    assert [message["content"] for message in transcript(run)] == ["Work.", "Fix it.", "reply 1", "ran", "reply 2"]
    assert Facts([run]).starts[0].metadata.value() == {"instance": "shop-1", "attempt": 0}
    assert [start.tools is not None for start, _ in Facts([run]).calls] == [False, True]


def test_a_reply_that_was_asked_for_again_is_an_attempt() -> None:
    """A call that saw no more than the one before repeats it: the dropped reply stands beside the path, tools unrun."""
    calls = [openhands_call(1, FIRST, "execute_bash"), *openhands_calls()]
    calls[0]["response"]["id"] = "r0"
    calls[0]["response"]["choices"][0]["message"]["content"] = "dropped"
    (run,) = read(openhands.read, [_joined([2, 2, 4], calls[2]["messages"], calls)])
    attempts = [(event.seq, event.body) for event in run.events if isinstance(event.body, CallStarted)]
    assert [(call.attempt, call.retry_of, call.iteration) for _, call in attempts] == [
        (1, None, 1),
        (2, attempts[0][0], 1),
        (1, None, 2),
    ]
    assert len(tools(run)) == 2
    assert "dropped" not in [message["content"] for message in transcript(run)]
    assert len(Facts([run]).messages) == 6


def test_a_conversation_that_breaks_off_is_abandoned() -> None:
    """A last reply that asks for a tool has no outcome."""
    (run,) = read(openhands.read, openhands_calls()[:1])
    assert (outcome(run), run.growing) == (("abandoned", "process_died", None), True)


def test_records_of_no_known_shape_are_problems() -> None:
    """Broken lines, strangers and empty records are reported with their lines, the rest goes in."""
    log: list[Any] = [b"{", {"a": 1}, {"llm_calls": [], "messages_of_last_call": []}, *openhands_calls()]
    found = list(openhands.read(encoded(log), Origin("calls.jsonl")))
    assert [item.line for item in found if isinstance(item, Problem)] == [1, 2, 3]
    assert len([item for item in found if isinstance(item, Recorded)]) == 1
