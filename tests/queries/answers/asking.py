"""Every question that answers over HTTP come from: what it takes, what it gives, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tachograph.queries.answers import (
    audit,
    hits,
    limits,
    receipts,
    run_events,
    runs,
    scores,
    sessions,
    tool_calls,
    transcripts,
    tree,
)
from tachograph.queries.logs import analytics, calls, execution, executions
from tachograph.store.ports import Reading


class Question(NamedTuple):
    """One question. `ask` takes a store, parameters, the name of a run, an execution id and a session id."""

    asked: Any
    given: Any
    ask: Callable[[Reading, Any, str, str, str], Any]


def questions(now_ns: int) -> dict[str, Question]:
    """All of them, by name, as of that moment."""
    return {**_of_logs(now_ns), **_of_runs(), **_of_lists()}


def _of_logs(now_ns: int) -> dict[str, Question]:
    def timed(ask: Callable[[Any, Any, int], Any]) -> Callable[..., Any]:
        return lambda store, asked, *_: ask(store, asked, now_ns)

    return {
        "executions": Question(executions.ExecutionsAsked, executions.ExecutionLogs, timed(executions.executions)),
        "execution": Question(
            execution.ExecutionAsked,
            execution.Execution,
            lambda store, asked, run, name, session: execution.execution(store, name, asked),
        ),
        "llm_calls": Question(calls.LlmCallsAsked, calls.LlmCallLogs, timed(calls.llm_calls)),
        "summary": Question(analytics.SummaryAsked, analytics.Summary, timed(analytics.summary)),
    }


def _of_runs() -> dict[str, Question]:
    def named(ask: Callable[[Any, str, Any], Any]) -> Callable[..., Any]:
        return lambda store, asked, run, *_: ask(store, run, asked)

    return {
        "tree": Question(tree.RunTreeAsked, tree.RunTree, named(tree.run_tree)),
        "events": Question(run_events.RunEventsAsked, run_events.RunEvents, named(run_events.run_events)),
        "transcript": Question(
            transcripts.TranscriptAsked, transcripts.CallTranscript, named(transcripts.call_transcript)
        ),
        "receipt": Question(None, receipts.RunReceipt, lambda store, asked, run, *_: receipts.receipt_of(store, run)),
        "session": Question(
            sessions.SessionAsked,
            sessions.SessionDetail,
            lambda store, asked, run, name, session: sessions.session(store, session, asked),
        ),
    }


def _of_lists() -> dict[str, Question]:
    def plain(ask: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        return lambda store, asked, *_: ask(store, asked)

    return {
        "runs": Question(runs.RunsAsked, runs.Runs, plain(runs.listed)),
        "sessions": Question(sessions.SessionsAsked, sessions.Sessions, plain(sessions.sessions)),
        "tool_calls": Question(tool_calls.ToolCallsAsked, tool_calls.ToolCalls, plain(tool_calls.tool_calls)),
        "limits": Question(limits.LimitsAsked, limits.ReachedLimits, plain(limits.limits)),
        "scores": Question(scores.ScoresAsked, scores.Scores, plain(scores.scores)),
        "search": Question(hits.SearchAsked, hits.SearchHits, plain(hits.search_hits)),
        "audit": Question(audit.AuditAsked, audit.AuditEntries, plain(audit.audit)),
    }


PARAMETERS: dict[str, dict[str, Any]] = {
    "executions": {"include_llm_calls": True},
    "llm_calls": {"include_content": True},
    "search": {"text": "a"},
}
"""Parameters that a question needs, or that make it say more."""
