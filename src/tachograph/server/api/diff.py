"""Two runs side by side."""

from __future__ import annotations

from tachograph.queries.diff.answer import DiffAsked, RunDiff, run_diff
from tachograph.server.endpoint import Ask, Endpoint


def _diff(ask: Ask) -> RunDiff:
    return run_diff(ask.store, ask.asked)


ENDPOINTS = (
    Endpoint(
        name="diff_runs", path="/api/diff", tag="runs", handler=_diff, asks=DiffAsked, gives=RunDiff,
        problems=(404, 409),
        about="Two runs, aligned step by step. Where they part first, and the difference in calls, tokens, cost, time.",
    ),
)  # fmt: skip
