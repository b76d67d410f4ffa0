"""The tables, once, for every SQL backend.

`events` is the log and `payloads`/`nodes` hold what the log names; everything else is a projection that `rebuild`
makes again. Rows are small on purpose: a run has an integer `pk`, a step is `(run, step)`, times are integer
nanoseconds (UTC), money is integer nano-USD. The views `execution_logs`, `llm_call_logs` and `tool_call_logs` (see
`views`) spell the same facts for people: UUIDs, ISO timestamps, floats.

A recorded content `x` has two columns: `x` is its JSON text when it is small, `x_payload` names a row of `payloads`
when it is not; both are NULL when nothing was kept. Columns that others can be computed from are generated, so they
cost no bytes. Column order matters twice: row structs in `rows` follow it, and what lists never read stands last.

An index named `…_list` is in the order of the list that people page through, and holds every column that it can be
limited by, so that rare rows are found, and all of them counted, without reading the table.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    false,
    text,
)

from tachograph.store.columns import INPUT_KNOWN, INPUT_TOTAL, Key, content, count, ended, sums, tokens, totals

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("pk", Key, primary_key=True),
    Column("id", Text, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("agent_type", Text),
    Column("tenant", Text, nullable=False, server_default="default"),
    Column("session", Text),
    Column("user", Text),
    Column("tags", Text),
    Column("version", Text),
    Column("environment", Text),
    Column("platform", Text),
    Column("source", Text, nullable=False, server_default=""),
    Column("parent_run", Text),
    Column("parent_step", BigInteger),
    Column("trace_id", Text),
    Column("trace_parent", Text),
    Column("owner", Text, nullable=False, server_default=""),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    Column("status", Text, nullable=False, server_default="started"),
    Column("stop_reason", Text, nullable=False, server_default=""),
    Column("started_at", BigInteger, nullable=False),
    Column("duration_ns", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("loose_pages", Integer, nullable=False, server_default=text("0")),
    Column("discarded", Boolean, nullable=False, server_default=false()),
    Column("billable", Boolean, nullable=False, server_default=false()),
    count("iterations"),
    count("steps"),
    *totals(),
    count("lost"),
    count("truncated"),
    count("redacted"),
    count("sanitized"),
    Column("error_type", Text),
    Column("error_category", Text),
    Column("error_message", Text),
    *content("input"),
    *content("output"),
    *content("metadata"),
    ended(),
    *tokens(INPUT_TOTAL),
)
"""One row a run: its facts and its totals. `next_seq` is also the number of events stored."""
Index("runs_id", runs.c.id, unique=True)
Index("runs_execution", runs.c.execution_id)
Index("runs_started", runs.c.started_at)
Index("runs_session", runs.c.session, runs.c.tenant, sqlite_where=runs.c.session.is_not(None))
Index("runs_user", runs.c.user, runs.c.started_at, sqlite_where=runs.c.user.is_not(None))
Index("runs_parent", runs.c.parent_run, sqlite_where=runs.c.parent_run.is_not(None))
Index("runs_open", runs.c.owner, sqlite_where=runs.c.status.in_(["started", "paused"]))
Index(
    "runs_list", runs.c.tenant, runs.c.started_at, runs.c.status, runs.c.agent_type, runs.c.platform, runs.c.source,
    runs.c.tags,
)  # fmt: skip
Index("runs_audit", runs.c.started_at, sqlite_where=runs.c.source == "audit")

steps = Table(
    "steps",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("parent", BigInteger),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("agent_type", Text),
    Column("action_type", Text),
    Column("iteration", Integer),
    Column("status", Text, nullable=False, server_default="started"),
    Column("started_at", BigInteger, nullable=False),
    Column("duration_ns", BigInteger),
    Column("report_id", Text),
    Column("completion_id", Text),
    Column("widget_id", Text),
    Column("step_ref", Text),
    Column("refs", Text),
    Column("error_type", Text),
    Column("error_category", Text),
    Column("error_message", Text),
    *content("input"),
    *content("output"),
    *content("metadata"),
    ended(),
    sqlite_with_rowid=False,
)
"""Every step of every run: the run itself (step 0, kind `run`), model calls (`llm`), tool calls (`tool`), and the rest.

`parent` is NULL for step 0 only. `step_ref` is the application id `step_id`; `refs` holds application ids that have no
column. Input and output of model and tool calls stand in `calls` and `tool_calls`.
"""
Index(
    "steps_list", steps.c.started_at, steps.c.run, steps.c.step, steps.c.kind, steps.c.status, steps.c.agent_type,
    steps.c.name, steps.c.action_type, steps.c.report_id, sqlite_where=steps.c.kind != "llm",
)  # fmt: skip
Index("steps_report", steps.c.report_id, sqlite_where=steps.c.report_id.is_not(None))

calls = Table(
    "calls",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("operation", Text, nullable=False, server_default="chat"),
    Column("agent_type", Text),
    Column("purpose", Text),
    Column("status", Text, nullable=False, server_default="started"),
    Column("started_at", BigInteger, nullable=False),
    Column("duration_ns", BigInteger),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("retry_of", BigInteger),
    Column("streaming", Boolean, nullable=False, server_default=false()),
    Column("input_node", BigInteger),
    Column("output_node", BigInteger),
    Column("uncached_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("cache_write_1h_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("usage_basis", Text),
    Column("usage_extra", Text),
    Column("cost_state", Text),
    Column("cost_nano", BigInteger),
    Column("input_cost_nano", BigInteger),
    Column("output_cost_nano", BigInteger),
    Column("cache_read_cost_nano", BigInteger),
    Column("cache_write_cost_nano", BigInteger),
    Column("reported_cost_nano", BigInteger),
    Column("price", BigInteger),
    Column("unpriced_reason", Text),
    Column("finish_reason", Text),
    Column("served_model", Text),
    Column("tier", Text),
    Column("served_tier", Text),
    Column("http_status", Integer),
    Column("first_token_ns", BigInteger),
    Column("chunks", BigInteger),
    Column("response_id", Text),
    Column("request_id", Text),
    *content("tools"),
    *content("params"),
    Column("timeline", Text),
    ended(),
    *tokens(INPUT_KNOWN),
    sqlite_with_rowid=False,
)
"""One row an attempt. Parent step, iteration, error and metadata stand in `steps` under the same key.

`input_node` and `output_node` name `nodes`; `price` names `prices`. Token columns are NULL when nobody said;
`usage_basis` and the cost are NULL while the call is open.
"""
Index(
    "calls_list", calls.c.started_at, calls.c.run, calls.c.step, calls.c.provider, calls.c.model, calls.c.status,
    calls.c.streaming,
)  # fmt: skip

tool_calls = Table(
    "tool_calls",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("agent_type", Text),
    Column("state", Text, nullable=False, server_default="started"),
    Column("started_at", BigInteger, nullable=False),
    Column("duration_ns", BigInteger),
    Column("call_id", Text),
    Column("requested_by", BigInteger),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("classification", Text, nullable=False, server_default="other"),
    Column("arguments_hash", BigInteger),
    Column("result_hash", BigInteger),
    Column("result_node", BigInteger),
    Column("reason", Text),
    *content("arguments"),
    *content("result"),
    ended(),
    sqlite_with_rowid=False,
)
"""One row a requested tool invocation. `state` is `started` or one of the six final states.

`arguments_hash` is the first 64 bits of the arguments' canonical hash (key order does not matter), `result_hash`
those of the result's identity: equal numbers mean the same call, the same result. `result_node` is the transcript
message that carried the result when its text stands only there. Iteration, error and metadata stand in `steps`.
"""
Index(
    "tool_calls_list", tool_calls.c.started_at, tool_calls.c.run, tool_calls.c.step, tool_calls.c.name,
    tool_calls.c.state, tool_calls.c.agent_type,
)  # fmt: skip

sessions = Table(
    "sessions",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("session", Text, primary_key=True),
    Column("user", Text),
    Column("status", Text, nullable=False, server_default="active"),
    Column("started_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("last_run", Text, nullable=False),
    Column("last_started_at", BigInteger, nullable=False),
    count("runs"),
    *totals(),
    *tokens(INPUT_TOTAL),
    sqlite_with_rowid=False,
)
"""One row a conversation: sums over its runs. Status and user are those of the run that started last (`last_run`)."""
Index("sessions_list", sessions.c.updated_at, sessions.c.tenant, sessions.c.session, sessions.c.user, sessions.c.status)

limit_hits = Table(
    "limit_hits",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("metric", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("used", Float, nullable=False),
    Column("requested", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("refused_kind", Text),
    Column("refused_name", Text),
    Column("evidence", Text),
    sqlite_with_rowid=False,
)
"""One row a limit that was reached. `evidence` is a JSON array of event seqs."""
Index("limit_hits_at", limit_hits.c.at)

scores = Table(
    "scores",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("target", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Float),
    Column("label", Text),
    Column("kind", Text, nullable=False),
    Column("author", Text),
    Column("comment", Text),
    sqlite_with_rowid=False,
)
"""One row a judgement of a run or of one of its steps (`target`)."""

events = Table(
    "events",
    metadata,
    Column("page", Key, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("codec", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""The log: `count` consecutive events of one run in each row. `page` is `run << 32 | first seq`, so that a run's
pages lie together and need no index; `body` is what `pages` writes in version `codec`."""

payloads = Table(
    "payloads",
    metadata,
    Column("id", Key, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
    Column("canonical", BigInteger),
    Column("size", BigInteger, nullable=False),
    Column("encoding", SmallInteger, nullable=False),
    Column("body", LargeBinary),
    Column("run", BigInteger),
    Column("prefix", LargeBinary, Computed("substr(hash, 1, 8)")),
)
"""Contents by hash (BLAKE2b-256 of the bytes, `size` of them), which the writer keeps unique; the index holds its first
eight bytes, `prefix`. `canonical` is the first 64 bits of the canonical hash. `body` is UTF-8 text when `encoding` is
0, a zstd block when it is 1, and NULL when the bytes were not kept. Where only a hash was to be kept, `encoding` is
2: such a row stands beside that of the same hash with bytes, if there is one. `run` is the pk of a run that names it,
the others stand in `shares`; NULL when that is not known, and then it is kept whatever is erased."""
Index("payloads_prefix", payloads.c.prefix)

shares = Table(
    "shares",
    metadata,
    Column("payload", BigInteger, primary_key=True, autoincrement=False),
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Runs that name a payload beside the one in its own row: a payload goes when nobody names it any more."""

nodes = Table(
    "nodes",
    metadata,
    Column("id", Key, primary_key=True),
    Column("parent", BigInteger, nullable=False),
    Column("payload", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
)
"""The message tree: `payload` is the message, `parent` the node before it (0 for a first message). The writer keeps
(parent, payload, role) unique. A node's name across stores, `events.message.node_hash`, follows from its path."""
Index("nodes_key", nodes.c.parent, nodes.c.payload)

dictionaries = Table(
    "dictionaries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("body", LargeBinary),
    Column("learned_from", Text),
)
"""What `squeeze` learned: a zstd dictionary for blocks of one kind (payload, page), made when the store had `rows` of
them. A block's header names the dictionary it needs by `id`. `body` is NULL where learning brought nothing. It holds
pieces of what it was `learned_from` (a JSON array of payloads, or of runs), and is given up when one of them is gone.
"""

prices = Table(
    "prices",
    metadata,
    Column("id", Key, primary_key=True),
    Column("price_id", Text, nullable=False),
    Column("price_date", Text, nullable=False),
)
"""Price rows that calls were priced by: kept once, named by number."""
Index("prices_key", prices.c.price_id, prices.c.price_date, unique=True)

journals = Table(
    "journals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("segment", BigInteger, nullable=False, server_default=text("0")),
    Column("offset", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default="open"),
    Column("seen_at", BigInteger),
    sqlite_with_rowid=False,
)
"""How far each journal is stored, and its last known sign of life."""

imports = Table(
    "imports",
    metadata,
    Column("key", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("digest", LargeBinary),
    Column("facts", Text),
    sqlite_with_rowid=False,
)
"""Files that were imported, as they were then: an unchanged one is not read again."""

losses = Table(
    "losses",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("journal", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What was lost outside any run: damaged journals, events that could not be read. `events` is 0 when it is unknown."""
Index("losses_key", losses.c.journal, losses.c.reason, losses.c.detail, unique=True)


erased = Table(
    "erased",
    metadata,
    Column("id", Key, primary_key=True),
    Column("run", Text, nullable=False),
    Column("pk", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("last_run", BigInteger, nullable=False),
    Column("last_payload", BigInteger, nullable=False),
    Column("last_node", BigInteger, nullable=False),
)
"""Tombstones: runs that were erased, so that events of theirs which come later are dropped. Each names the highest
numbers that runs, payloads and nodes had by then, since no number is given twice."""
Index("erased_run", erased.c.run, unique=True)

feed = Table(
    "feed",
    metadata,
    Column("id", Key, primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
)
"""What came in, in order: `count` events of a run from seq `first` on. Only the newest rows are kept. `count` is 0
where the run was replaced since."""

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scope", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default="default"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    sqlite_with_rowid=False,
)
"""Keys that open the API, each by the hash of its secret. `scope` is read, write or admin."""


def _rollup(name: str, period: str) -> Table:
    keys = ("tenant", "project", "provider", "model", "agent", "step", "status", "error")
    return Table(
        name,
        metadata,
        Column("facet", Text, nullable=False),
        *(Column(key, Text, nullable=False, server_default="") for key in keys),
        *sums(),
        Column(period, BigInteger, nullable=False),
        PrimaryKeyConstraint("facet", period, *keys),
        sqlite_with_rowid=False,
    )


rollup_hour = _rollup("rollup_hour", "hour")
"""Sums of the steps that started in an hour (hours since 1970, UTC); `rollup` says what a facet keeps apart.

`timed` of the steps had ended; `hist` packs their durations, `first_token_hist` the times to the first token.
"""
rollup_day = _rollup("rollup_day", "day")
"""The same by day (days since 1970, UTC)."""

dirty_hours = Table(
    "dirty_hours",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("ver", BigInteger, nullable=False, server_default=text("1")),
    sqlite_with_rowid=False,
)
"""Hours whose rollup is behind. `ver` grows with every mark: a mark is deleted only if it is the one that was read."""

tachograph_version = Table(
    "tachograph_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    Column("kept_by", Text, nullable=False, server_default="tachograph"),
    PrimaryKeyConstraint("version_num", name="tachograph_version_pkc"),
)
"""The schema that the database has, in one row. `kept_by` is `application` where its own migrations make the tables."""

PROJECTIONS: tuple[Table, ...] = (runs, steps, calls, tool_calls, sessions, limit_hits, scores)
"""What `rebuild` makes again from the log."""
