"""An alert as a value, and one time that it fired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from tachograph.errors import SettingsError
from tachograph.upkeep.amounts import SECOND, time_text

Metric: TypeAlias = Literal["cost", "error_rate", "latency_p50", "latency_p95", "latency_p99", "interventions"]
Counted: TypeAlias = Literal["calls", "tools", "runs"]
Kind: TypeAlias = Literal["calls", "tools", "runs", "limits"]
"""What windows hold: what ended, or limits that intervened."""

METRICS: tuple[str, ...] = get_args(Metric)
RATES = frozenset({"error_rate", "latency_p50", "latency_p95", "latency_p99"})
"""Metrics that mean nothing while there is little to go by."""
QUANTILES: Mapping[str, float] = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
DIMENSIONS = ("tag", "tenant", "agent", "model")
"""What an alert can be apart by."""
EVERYTHING = "everything"
"""The scope of an alert that is apart by nothing."""
EVERYBODY = "*"
"""Whose data a firing is about when it is all tenants' together: no tenant's name, so no tenant's key sees it."""
LEAST = 20
"""How many calls a rate needs, where the alert does not say."""


class Firing(Struct, frozen=True, kw_only=True):
    """A threshold was crossed."""

    alert: str
    metric: str
    scope: str
    """`everything`, or what the alert is apart by, as `tag:team-a`."""
    value: float
    """USD, a share, seconds, or a number of interventions."""
    threshold: float
    window_ns: int
    count: int
    """Calls, tool calls, runs or interventions in the window."""
    at: int
    """UTC ns."""
    tenant: str = EVERYBODY
    """Whose data it is about."""
    over: bool = False
    """The other way: it had fired, and is below again."""

    @property
    def line(self) -> str:
        """All of it on one line, whatever is in the names."""
        scope = "" if self.scope == EVERYTHING else f" of {self.scope}"
        verb = "is back at" if self.over else "is"
        side = "threshold" if self.over else "above"
        said = f"alert {self.alert}: {self.metric}{scope} {verb} {amount(self.metric, self.value)} in the last "
        said += f"{time_text(self.window_ns)}, {side} {amount(self.metric, self.threshold)} (n={self.count})"
        return "".join(letter if letter.isprintable() else "�" for letter in said)


OnAlert: TypeAlias = Callable[[Firing], object]


class Alert(Struct, frozen=True, kw_only=True):
    """A threshold on what happened in a rolling window. Raises SettingsError for values that cannot be used."""

    name: str
    metric: Metric
    threshold: float
    """It fires above this: USD, a share (0 to 1), seconds, or a number of interventions."""
    window: int = 3_600 * SECOND
    """Nanoseconds."""
    by: str = ""
    """What it is apart by: `tag:team-a`; `tag:project:*`, `tenant`, `agent`, `model` for each value; empty: nothing."""
    of: Counted = "calls"
    """Whose errors and latency: model calls, tool calls or whole runs."""
    tenant: str | None = None
    """Only what belongs to this tenant."""
    min_count: int | None = None
    """How many a rate must be made of; default LEAST. Other metrics need none."""
    rearm: float = 0.9
    """It can fire again once the value has been at or below this share of the threshold."""
    callback: OnAlert | str | None = None
    """Called with each Firing; a text is `module:function`."""

    def __post_init__(self) -> None:
        """Refuse what could never be watched."""
        dimension = self.by.partition(":")[0]
        of_models = dimension == "model"
        refused = (
            (not self.name.strip(), "name", self.name, "a name"),
            (self.metric not in METRICS, "metric", self.metric, f"one of {', '.join(METRICS)}"),
            (self.of not in get_args(Counted), "of", self.of, f"one of {', '.join(get_args(Counted))}"),
            (not self.threshold >= 0, "threshold", self.threshold, "0 or more"),
            (self.window < SECOND, "window", self.window, "a second or more"),
            (bool(self.by) and dimension not in DIMENSIONS, "by", self.by, _BY),
            (self.by in ("tag", "tag:"), "by", self.by, "a tag, as tag:team-a or tag:project:*"),
            (of_models and self.metric == "interventions", "by", self.by, "no model: interventions belong to runs"),
            (of_models and self.of != "calls", "by", self.by, f"no model: {self.of} have none"),
            (not 0 <= self.rearm <= 1, "rearm", self.rearm, "a share of the threshold, 0 to 1"),
            (self.min_count is not None and self.min_count < 0, "min_count", self.min_count, "0 or more"),
        )
        for wrong, name, value, wanted in refused:
            if wrong:
                raise SettingsError(f"alert {self.name}: {name}", value, wanted)

    @property
    def least(self) -> int:
        """How many there must be in the window before it may fire."""
        if self.min_count is not None:
            return self.min_count
        return LEAST if self.metric in RATES else 0

    @property
    def counted(self) -> Kind:
        """What the window holds."""
        if self.metric == "interventions":
            return "limits"
        return "calls" if self.metric == "cost" else self.of


_BY = "tag:NAME, tag:PREFIX*, tenant, agent or model, the last three alone or with a value"


def amount(metric: str, value: float) -> str:
    """A value in the unit of its metric: `$5.20`, `12.5 %`, `3.2 s`, `4`."""
    if metric == "cost":
        return f"${value:,.2f}" if value >= 1 else f"${value:.4g}"
    if metric == "error_rate":
        return f"{value * 100:.1f} %"
    return f"{value:.3g} s" if metric in QUANTILES else f"{value:g}"
