"""One thing that alerts count: a model call, tool call or run that ended, a limit that intervened, a corrected cost."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tachograph.upkeep.alert import EVERYTHING, Alert, Kind

FAILED = frozenset({"failed", "abandoned"})
"""Statuses that are errors: what a person cancelled is none."""


class Sample(Struct, frozen=True, kw_only=True, gc=False):
    """What happened, when, and whose it is."""

    kind: Kind
    at: int
    """UTC ns when it ended."""
    count: int = 1
    """0 for a correction of what was counted before; -1 takes it back."""
    failed: int = 0
    cost: int = 0
    """Nano-USD; of a correction, by how much it changed. A call without a price adds nothing."""
    duration_ns: int | None = None
    tenant: str = "default"
    tags: tuple[str, ...] = ()
    agent: str = ""
    model: str = ""


def scopes(alert: Alert, sample: Sample) -> Iterator[str]:
    """The scopes of an alert in which a sample counts: several when it has several tags that are meant."""
    if sample.kind != alert.counted or (alert.tenant is not None and alert.tenant != sample.tenant):
        return
    if not alert.by:
        yield EVERYTHING
        return
    dimension, _, wanted = alert.by.partition(":")
    values = sample.tags if dimension == "tag" else (getattr(sample, dimension),)
    yield from (f"{dimension}:{value}" for value in dict.fromkeys(values) if _meant(wanted, value))


def _meant(wanted: str, value: str) -> bool:
    if wanted.endswith("*"):
        return value.startswith(wanted[:-1]) and value != ""
    return value == wanted if wanted else value != ""
