"""The tables as people read them: views with UUIDs, ISO timestamps, milliseconds, floats and whole prompts.

`execution_logs`, `llm_call_logs` and `tool_call_logs` are plain SQL: any SQLite shell can read them. Recorded content
that is kept compressed stands there as `{"$payload": "<hash>", "size": n}`. Our own connections see temporary views
of the same names that unpack it (with the function `payload_text`), so there prompts are complete.
"""

from __future__ import annotations

from textwrap import dedent

_MARKER = """'{"$payload":"' || lower(hex(p.hash)) || '","size":' || p.size || '}'"""
_PLAIN = f"CASE WHEN p.encoding = 0 AND p.body IS NOT NULL THEN p.body ELSE {_MARKER} END"
_WHOLE = f"coalesce(payload_text(p.encoding, p.body), {_MARKER})"
_TAIL = 50
"""Messages at the end of a request, reminders among them, that are looked through for where its reply begins."""

NAMES = ("execution_logs", "llm_call_logs", "tool_call_logs")


def statements(*, whole: bool = False) -> list[str]:
    """CREATE VIEW statements: for the database, or `whole` ones for a connection that has `payload_text`."""
    kind, text = ("TEMP VIEW", _WHOLE) if whole else ("VIEW", _PLAIN)
    return [
        f"CREATE {kind} {name} AS\n{_spelled(query, text)}"
        for name, query in zip(NAMES, (_EXECUTION_LOGS, _LLM_CALL_LOGS, _TOOL_CALL_LOGS), strict=True)
    ]


def drops() -> list[str]:
    """DROP VIEW statements for the database."""
    return [f"DROP VIEW IF EXISTS {name}" for name in NAMES]


def _spelled(query: str, text: str) -> str:
    query = dedent(query).strip()
    for name, expression in _PARTS.items():
        query = query.replace(name, expression)
    return query.replace("PAYLOAD_TEXT", text)


def _iso(ns: str) -> str:
    seconds, micros = f"{ns} / 1000000000", f"{ns} % 1000000000 / 1000"
    return f"strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || printf('.%06dZ', {micros})"


def _id(step: str) -> str:
    return f"substr(r.id, 1, 28) || printf('%08x', {step})"


def _content(table: str, name: str) -> str:
    return f"coalesce({table}.{name}, (SELECT PAYLOAD_TEXT FROM payloads p WHERE p.id = {table}.{name}_payload))"


def _messages(first: str, behind: str | None = None) -> str:
    """A JSON array of the messages on the path to node `first`, as far as they are not on the path to `behind`.

    The two part where the one has messages of its own at its tail, as a request with reminders has.
    """
    known, new = "", "TRUE"
    if behind is not None:
        known = f"""known(id, parent) AS (
            SELECT n.id, n.parent FROM nodes n WHERE n.id = {behind}
            UNION ALL
            SELECT n.id, n.parent FROM known JOIN nodes n ON n.id = known.parent LIMIT {_TAIL}),
        """
        new = "n.id NOT IN (SELECT id FROM known)"
    return dedent(f"""\
        (WITH RECURSIVE {known}path(depth, id, parent, payload) AS (
            SELECT 0, n.id, n.parent, n.payload FROM nodes n WHERE n.id = {first} AND {new}
            UNION ALL
            SELECT path.depth + 1, n.id, n.parent, n.payload FROM path JOIN nodes n ON n.id = path.parent
            WHERE {new})
        SELECT '[' || group_concat(message, ',') || ']' FROM (
            SELECT coalesce((SELECT PAYLOAD_TEXT FROM payloads p WHERE p.id = path.payload), 'null') AS message
            FROM path ORDER BY path.depth DESC))""")


_PARTS = {
    "STEP_ID": _id("s.step"),
    "PARENT_ID": f"CASE WHEN s.parent IS NOT NULL THEN {_id('s.parent')} END",
    "REQUEST_ID": f"CASE WHEN t.requested_by IS NOT NULL THEN {_id('t.requested_by')} END",
    "RETRY_ID": f"CASE WHEN c.retry_of IS NOT NULL THEN {_id('c.retry_of')} END",
    "START_TIME": _iso("s.started_at"),
    "END_TIME": _iso("s.ended_at"),
    "UPDATED_AT": _iso("coalesce(s.ended_at, s.started_at)"),
    "DURATION_MS": "(s.duration_ns + 500000) / 1000000",
    "STEP_METADATA": _content("s", "metadata"),
    "RUN_METADATA": _content("r", "metadata"),
    "STEP_INPUT": _content("s", "input"),
    "RUN_INPUT": _content("r", "input"),
    "STEP_OUTPUT": _content("s", "output"),
    "RUN_OUTPUT": _content("r", "output"),
    "TOOL_ARGUMENTS": _content("t", "arguments"),
    "TOOL_RESULT": _content("t", "result"),
    "RESULT_MESSAGE": (
        "(SELECT PAYLOAD_TEXT FROM nodes n JOIN payloads p ON p.id = n.payload WHERE n.id = t.result_node)"
    ),
    "CALL_TOOLS": _content("c", "tools"),
    "CALL_PARAMS": _content("c", "params"),
    "PROMPT": _messages("c.input_node"),
    "RESPONSE": _messages("c.output_node", "c.input_node"),
}

_EXECUTION_LOGS = """
    SELECT
        STEP_ID AS id,
        r.execution_id,
        coalesce(s.agent_type, r.agent_type, '') AS agent_type,
        CASE WHEN s.kind IN ('llm', 'tool') THEN s.kind ELSE s.name END AS execution_step,
        s.action_type,
        s.status,
        START_TIME AS start_time,
        END_TIME AS end_time,
        DURATION_MS AS duration_ms,
        CASE s.kind WHEN 'run' THEN RUN_INPUT WHEN 'tool' THEN TOOL_ARGUMENTS ELSE STEP_INPUT END AS input_data,
        CASE s.kind WHEN 'run' THEN RUN_OUTPUT WHEN 'tool' THEN coalesce(TOOL_RESULT, RESULT_MESSAGE)
            ELSE STEP_OUTPUT END AS output_data,
        s.error_message,
        CASE s.kind WHEN 'run' THEN RUN_METADATA ELSE STEP_METADATA END AS metadata,
        s.report_id,
        s.completion_id,
        s.widget_id,
        s.step_ref AS step_id,
        r.platform AS external_platform,
        r."user" AS external_user_id,
        START_TIME AS created_at,
        UPDATED_AT AS updated_at,
        r.id AS run_id,
        PARENT_ID AS parent_id,
        s.kind,
        s.name,
        s.iteration,
        s.error_type,
        s.error_category
    FROM steps s JOIN runs r ON r.pk = s.run LEFT JOIN tool_calls t ON t.run = s.run AND t.step = s.step
"""

_LLM_CALL_LOGS = """
    SELECT
        STEP_ID AS id,
        PARENT_ID AS execution_log_id,
        c.provider,
        c.model AS model_id,
        CASE WHEN c.streaming THEN 'inference_stream' ELSE 'inference' END AS call_type,
        c.status,
        START_TIME AS start_time,
        END_TIME AS end_time,
        DURATION_MS AS duration_ms,
        PROMPT AS prompt,
        RESPONSE AS response,
        s.error_message,
        c.input_tokens,
        c.output_tokens,
        c.total_tokens,
        c.input_cost_nano / 1e9 AS input_cost,
        c.output_cost_nano / 1e9 AS output_cost,
        c.cost_nano / 1e9 AS total_cost,
        c.streaming AS is_streaming,
        c.chunks AS chunks_count,
        STEP_METADATA AS metadata,
        s.report_id,
        s.completion_id,
        START_TIME AS created_at,
        UPDATED_AT AS updated_at,
        r.id AS run_id,
        r.execution_id,
        c.operation,
        c.agent_type,
        c.purpose,
        s.iteration,
        c.attempt,
        RETRY_ID AS retry_of,
        CALL_TOOLS AS tools,
        CALL_PARAMS AS params,
        c.uncached_tokens,
        c.cache_read_tokens,
        c.cache_write_tokens,
        c.reasoning_tokens,
        c.usage_basis,
        c.cost_state,
        c.unpriced_reason,
        c.reported_cost_nano / 1e9 AS reported_cost,
        (SELECT price_id FROM prices WHERE prices.id = c.price) AS price_id,
        (SELECT price_date FROM prices WHERE prices.id = c.price) AS price_date,
        c.finish_reason,
        c.served_model,
        c.tier,
        c.served_tier,
        c.http_status,
        c.first_token_ns / 1e6 AS first_token_ms,
        c.response_id,
        c.request_id,
        c.timeline,
        s.error_type,
        s.error_category
    FROM calls c JOIN steps s ON s.run = c.run AND s.step = c.step JOIN runs r ON r.pk = c.run
"""

_TOOL_CALL_LOGS = """
    SELECT
        STEP_ID AS id,
        PARENT_ID AS execution_log_id,
        r.execution_id,
        t.name AS tool_name,
        t.call_id,
        t.state,
        START_TIME AS start_time,
        END_TIME AS end_time,
        DURATION_MS AS duration_ms,
        TOOL_ARGUMENTS AS arguments,
        coalesce(TOOL_RESULT, RESULT_MESSAGE) AS result,
        s.error_message,
        t.reason,
        t.classification,
        t.agent_type,
        REQUEST_ID AS requested_by,
        t.position,
        s.iteration,
        STEP_METADATA AS metadata,
        START_TIME AS created_at,
        UPDATED_AT AS updated_at,
        r.id AS run_id,
        s.error_type,
        s.error_category
    FROM tool_calls t JOIN steps s ON s.run = t.run AND s.step = t.step JOIN runs r ON r.pk = t.run
"""
