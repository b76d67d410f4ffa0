"""Every page there is."""

from __future__ import annotations

from tachograph.server.endpoint import Endpoint
from tachograph.server.pages import key, run, runs, static

ENDPOINTS: tuple[Endpoint, ...] = (
    *runs.ENDPOINTS,
    *run.ENDPOINTS,
    *key.ENDPOINTS,
    *static.ENDPOINTS,
)
