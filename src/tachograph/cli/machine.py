"""Values as programs read them: one JSON object each, whose keys stay.

Times are nanoseconds (`…_at`, UTC, and `…_ns`) with an ISO spelling beside the start; money is integer nano-USD with
exact decimal USD as text beside it. What nobody knows is null.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.fold.cost import usd
from tachograph.queries import wording
from tachograph.queries.runs import Run


def dollars(nano: int | None) -> str | None:
    """Nano-USD as decimal USD, in full: `0.000125`."""
    return None if nano is None else f"{usd(nano):f}"


def run(value: Run, **more: Any) -> dict[str, Any]:
    """A run, and what else is known of it."""
    return {
        **msgspec.to_builtins(value),
        "input_total": value.input_total,
        "started": wording.iso(value.started_at),
        "cost_usd": dollars(value.cost),
        **more,
    }
