"""Every page there is."""

from __future__ import annotations

from tachograph.server.endpoint import Endpoint
from tachograph.server.pages import (
    compare,
    deletion,
    first,
    interventions,
    key,
    keys,
    overview,
    pruning,
    run,
    runs,
    search,
    session,
    sessions,
    static,
    step,
    steps,
    system,
)
from tachograph.server.pages.views import cost, events, receipt, transcript

ENDPOINTS: tuple[Endpoint, ...] = (
    *overview.ENDPOINTS,
    *runs.ENDPOINTS,
    *run.ENDPOINTS,
    *sessions.ENDPOINTS,
    *interventions.ENDPOINTS,
    *search.ENDPOINTS,
    *steps.ENDPOINTS,
    *step.ENDPOINTS,
    *transcript.ENDPOINTS,
    *events.ENDPOINTS,
    *cost.ENDPOINTS,
    *receipt.ENDPOINTS,
    *session.ENDPOINTS,
    *compare.ENDPOINTS,
    *deletion.ENDPOINTS,
    *system.ENDPOINTS,
    *first.ENDPOINTS,
    *pruning.ENDPOINTS,
    *keys.ENDPOINTS,
    *key.ENDPOINTS,
    *static.ENDPOINTS,
)
