"""Everything there is to ask: all endpoints, in the order of the guide."""

from __future__ import annotations

from tachograph.server.api import (
    about,
    approvals,
    audit,
    diff,
    execution_logs,
    ingest,
    lists,
    live,
    runs,
    scores,
    sessions,
)
from tachograph.server.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *execution_logs.ENDPOINTS,
    *runs.ENDPOINTS,
    *diff.ENDPOINTS,
    *sessions.ENDPOINTS,
    *lists.ENDPOINTS,
    *scores.ENDPOINTS,
    *approvals.ENDPOINTS,
    *audit.ENDPOINTS,
    *live.ENDPOINTS,
    *ingest.ENDPOINTS,
    *about.ENDPOINTS,
)
