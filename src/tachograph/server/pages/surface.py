"""Every page there is."""

from __future__ import annotations

from tachograph.server.endpoint import Endpoint
from tachograph.server.pages import interventions, key, run, runs, search, sessions, static

ENDPOINTS: tuple[Endpoint, ...] = (
    *runs.ENDPOINTS,
    *run.ENDPOINTS,
    *sessions.ENDPOINTS,
    *interventions.ENDPOINTS,
    *search.ENDPOINTS,
    *key.ENDPOINTS,
    *static.ENDPOINTS,
)
