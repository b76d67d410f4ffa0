"""`/execution-logs`: steps and model calls as rows of the two tables, their analytics, and deleting an execution."""

from __future__ import annotations

from tachograph.queries.logs.analytics import Summary, SummaryAsked, summary
from tachograph.queries.logs.calls import LlmCallLogs, LlmCallsAsked, llm_calls
from tachograph.queries.logs.execution import Execution, ExecutionAsked, execution
from tachograph.queries.logs.executions import ExecutionLogs, ExecutionsAsked, executions
from tachograph.server.endpoint import Ask, Endpoint

_TAG = "execution-logs"


def _executions(ask: Ask) -> ExecutionLogs:
    return executions(ask.store, ask.asked, ask.now)


def _execution(ask: Ask) -> Execution:
    return execution(ask.store, ask.path["execution_id"], ask.asked)


def _llm_calls(ask: Ask) -> LlmCallLogs:
    return llm_calls(ask.store, ask.asked, ask.now)


def _summary(ask: Ask) -> Summary:
    # The dearest question, and the one that every dashboard asks: together they share an answer.
    service = ask.service
    return service.flights.share(
        (ask.caller.tenant, ask.asked), lambda: summary(ask.store, ask.asked, service.clock.now())
    )


ENDPOINTS = (
    Endpoint(
        name="list_executions", path="/execution-logs/executions", tag=_TAG, handler=_executions, asks=ExecutionsAsked,
        gives=ExecutionLogs,
        about="Execution logs, newest first. One row a step: runs, tool calls, and whatever a program calls a step.",
    ),
    Endpoint(
        name="get_execution", path="/execution-logs/executions/{execution_id}", tag=_TAG, handler=_execution,
        asks=ExecutionAsked, gives=Execution,
        about="All steps of one execution, oldest first. Model calls come with their prompts and responses.",
    ),
    Endpoint(
        name="list_llm_calls", path="/execution-logs/llm-calls", tag=_TAG, handler=_llm_calls, asks=LlmCallsAsked,
        gives=LlmCallLogs, about="Model calls, newest first. One row an attempt, with its tokens and its cost.",
    ),
    Endpoint(
        name="summarise", path="/execution-logs/analytics/summary", tag=_TAG, handler=_summary, asks=SummaryAsked,
        gives=Summary,
        about="What a period adds up to: outcomes, durations, tokens and cost, by agent, model and provider.",
    ),
)  # fmt: skip
