"""One row of each table, as a value: what the projections build, the memory backend keeps and SQL binds.

Fields stand in the order of the table's columns in `schema`, with the same names. Columns that the database computes
are properties here. `None` is SQL's NULL. Nothing in this module needs a database.
"""

from __future__ import annotations

from msgspec import Struct

TOTALS = (
    "llm_calls", "tool_calls", "errors", "interventions", "uncached_tokens", "cache_read_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "usage_missing", "cost_nano", "unpriced", "reported_cost_nano",
)  # fmt: skip
"""Sums that runs and sessions both carry."""

OPEN = ("started", "paused")
"""Statuses of a run that is not over."""

ROLLUP_KEYS = ("tenant", "project", "provider", "model", "agent", "step", "status", "error")
"""What rows of a roll-up are kept apart by, beside facet and time."""


class RunRow(Struct, kw_only=True, gc=False):
    """A run: its facts and its totals so far."""

    pk: int
    id: str
    execution_id: str
    name: str = ""
    agent_type: str | None = None
    tenant: str = "default"
    session: str | None = None
    user: str | None = None
    tags: str | None = None
    version: str | None = None
    environment: str | None = None
    platform: str | None = None
    source: str = ""
    parent_run: str | None = None
    parent_step: int | None = None
    trace_id: str | None = None
    trace_parent: str | None = None
    owner: str = ""
    epoch: int = 0
    status: str = "started"
    stop_reason: str = ""
    started_at: int
    duration_ns: int | None = None
    updated_at: int
    next_seq: int = 0
    loose_pages: int = 0
    discarded: bool = False
    billable: bool = False
    iterations: int = 0
    steps: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    interventions: int = 0
    uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    usage_missing: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    reported_cost_nano: int = 0
    lost: int = 0
    truncated: int = 0
    redacted: int = 0
    sanitized: int = 0
    error_type: str | None = None
    error_category: str | None = None
    error_message: str | None = None
    input: str | None = None
    input_payload: int | None = None
    output: str | None = None
    output_payload: int | None = None
    metadata: str | None = None
    metadata_payload: int | None = None

    @property
    def ended_at(self) -> int | None:
        """Start and monotonic duration together: never before the start."""
        return None if self.duration_ns is None else self.started_at + self.duration_ns

    @property
    def input_tokens(self) -> int:
        """All input tokens that somebody counted."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


class StepRow(Struct, kw_only=True, gc=False):
    """A step of any kind."""

    run: int
    step: int
    parent: int | None = None
    kind: str
    name: str
    agent_type: str | None = None
    action_type: str | None = None
    iteration: int | None = None
    status: str = "started"
    started_at: int
    duration_ns: int | None = None
    report_id: str | None = None
    completion_id: str | None = None
    widget_id: str | None = None
    step_ref: str | None = None
    refs: str | None = None
    error_type: str | None = None
    error_category: str | None = None
    error_message: str | None = None
    input: str | None = None
    input_payload: int | None = None
    output: str | None = None
    output_payload: int | None = None
    metadata: str | None = None
    metadata_payload: int | None = None

    @property
    def ended_at(self) -> int | None:
        """Start and monotonic duration together."""
        return None if self.duration_ns is None else self.started_at + self.duration_ns


class CallRow(Struct, kw_only=True, gc=False):
    """A model call: one attempt."""

    run: int
    step: int
    provider: str
    model: str
    operation: str = "chat"
    agent_type: str | None = None
    purpose: str | None = None
    status: str = "started"
    started_at: int
    duration_ns: int | None = None
    attempt: int = 1
    retry_of: int | None = None
    streaming: bool = False
    input_node: int | None = None
    output_node: int | None = None
    uncached_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_basis: str | None = None
    usage_extra: str | None = None
    cost_state: str | None = None
    cost_nano: int | None = None
    input_cost_nano: int | None = None
    output_cost_nano: int | None = None
    cache_read_cost_nano: int | None = None
    cache_write_cost_nano: int | None = None
    reported_cost_nano: int | None = None
    price: int | None = None
    unpriced_reason: str | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    tier: str | None = None
    served_tier: str | None = None
    http_status: int | None = None
    first_token_ns: int | None = None
    chunks: int | None = None
    response_id: str | None = None
    request_id: str | None = None
    tools: str | None = None
    tools_payload: int | None = None
    params: str | None = None
    params_payload: int | None = None
    timeline: str | None = None

    @property
    def ended_at(self) -> int | None:
        """Start and monotonic duration together."""
        return None if self.duration_ns is None else self.started_at + self.duration_ns

    @property
    def input_tokens(self) -> int | None:
        """All input tokens; None when no class of input is known."""
        known = [
            part for part in (self.uncached_tokens, self.cache_read_tokens, self.cache_write_tokens) if part is not None
        ]
        return sum(known) if known else None

    @property
    def total_tokens(self) -> int | None:
        """Input and output; None unless both are known."""
        whole = self.input_tokens
        return None if whole is None or self.output_tokens is None else whole + self.output_tokens


class ToolRow(Struct, kw_only=True, gc=False):
    """A tool call."""

    run: int
    step: int
    name: str
    agent_type: str | None = None
    state: str = "started"
    started_at: int
    duration_ns: int | None = None
    call_id: str | None = None
    requested_by: int | None = None
    position: int = 0
    classification: str = "other"
    arguments_hash: int | None = None
    result_hash: int | None = None
    result_node: int | None = None
    reason: str | None = None
    arguments: str | None = None
    arguments_payload: int | None = None
    result: str | None = None
    result_payload: int | None = None

    @property
    def ended_at(self) -> int | None:
        """Start and monotonic duration together."""
        return None if self.duration_ns is None else self.started_at + self.duration_ns


class SessionRow(Struct, kw_only=True, gc=False):
    """A conversation: sums over its runs."""

    tenant: str
    session: str
    user: str | None = None
    status: str = "active"
    started_at: int
    updated_at: int
    last_run: str
    last_started_at: int
    runs: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    interventions: int = 0
    uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    usage_missing: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    reported_cost_nano: int = 0

    @property
    def input_tokens(self) -> int:
        """All input tokens that somebody counted."""
        return self.uncached_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


class LimitRow(Struct, kw_only=True, gc=False):
    """A limit that was reached."""

    run: int
    seq: int
    step: int
    at: int
    metric: str
    scope: str
    mode: str
    used: float
    requested: float
    threshold: float
    reason: str
    refused_kind: str | None = None
    refused_name: str | None = None
    evidence: str | None = None


class ScoreRow(Struct, kw_only=True, gc=False):
    """A judgement."""

    run: int
    seq: int
    at: int
    target: int
    name: str
    value: float | None = None
    label: str | None = None
    kind: str
    author: str | None = None
    comment: str | None = None


HASH_ONLY = 2
"""`encoding` of a payload that is a hash and nothing else, and is given no bytes even if others bring some."""


class PayloadRow(Struct, kw_only=True, gc=False):
    """A content by hash; `body` is None when its bytes were not kept, `run` when nobody knows who names it."""

    id: int
    hash: bytes
    canonical: int | None = None
    size: int
    encoding: int = 0
    body: bytes | str | None = None
    run: int | None = None

    @property
    def prefix(self) -> bytes:
        """What the index of hashes holds."""
        return self.hash[:8]


class ShareRow(Struct, kw_only=True, gc=False):
    """Another run that names a payload."""

    payload: int
    run: int


class NodeRow(Struct, kw_only=True, gc=False):
    """A message where it stands in the tree."""

    id: int
    parent: int
    payload: int
    role: str


class PriceRow(Struct, kw_only=True, gc=False):
    """A price row that calls were priced by."""

    id: int
    price_id: str
    price_date: str


class JournalRow(Struct, kw_only=True, gc=False):
    """How far a journal is stored."""

    id: str
    segment: int = 0
    offset: int = 0
    state: str = "open"
    seen_at: int | None = None


class ImportRow(Struct, kw_only=True, gc=False):
    """A file as it was when it was imported. `facts` is JSON."""

    key: str
    size: int
    mtime_ns: int
    digest: bytes | None = None
    facts: str | None = None


class LossRow(Struct, kw_only=True, gc=False):
    """Something lost outside any run. The same (journal, reason, detail) is one loss, however often it is noted."""

    id: int | None = None
    at: int
    journal: str
    reason: str
    events: int = 0
    bytes: int = 0
    detail: str = ""


class ErasedRow(Struct, kw_only=True, gc=False):
    """A run that was erased, and the highest numbers that were given by then."""

    id: int
    run: str
    pk: int
    at: int
    last_run: int
    last_payload: int
    last_node: int


class FeedRow(Struct, kw_only=True, gc=False):
    """Events of one run that came in together: `count` of them from seq `first` on."""

    id: int
    run: int
    first: int
    count: int


class KeyRow(Struct, kw_only=True, gc=False):
    """A key that opens the API: the hash of its secret, and what it is good for."""

    id: str
    name: str
    hash: bytes
    scope: str
    tenant: str = "default"
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class Rollup(Struct, kw_only=True, gc=False):
    """Sums over the steps of one hour or day that share their keys."""

    facet: str
    tenant: str = ""
    project: str = ""
    provider: str = ""
    model: str = ""
    agent: str = ""
    step: str = ""
    status: str = ""
    error: str = ""
    count: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    abandoned: int = 0
    timed: int = 0
    duration_ns: int = 0
    uncached_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    usage_missing: int = 0
    cost_nano: int = 0
    input_cost_nano: int = 0
    output_cost_nano: int = 0
    unpriced: int = 0
    reported_cost_nano: int = 0
    duration_min_ns: int | None = None
    duration_max_ns: int | None = None
    hist: bytes | None = None
    first_token_hist: bytes | None = None


class HourRow(Rollup, kw_only=True, gc=False):
    """Of an hour."""

    hour: int


class DayRow(Rollup, kw_only=True, gc=False):
    """Of a day."""

    day: int


class DirtyRow(Struct, kw_only=True, gc=False):
    """An hour whose rollup is behind."""

    tenant: str
    hour: int
    ver: int = 1
