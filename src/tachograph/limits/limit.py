"""Limits as values: how much of what, over which scope, and what is done when it is reached.

    Limits()                                       # the shipped ones, all finite
    Limits(iterations=40, usd=2, seconds=90)       # others in place of some of them
    Limits(usd=None)                               # one removed, explicitly

A `Limit` is one line of such a policy in its normal form; `Limits.each()` gives them all. A figure that nobody stated
knows that it is only shipped: a shipped money limit does not refuse a model that has no price, a stated one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from tachograph.errors import SettingsError
from tachograph.events.limit import Mode
from tachograph.limits.loops import Loops

Scope = Literal["call", "run", "session", "tenant"]
DAY = 86_400.0


class Shipped(float):
    """A figure that nobody stated: it is the default."""


Figure = float | Decimal | None
"""A threshold; None removes the limit."""

_LOOPS: Final = Loops()
_ITERATIONS: Final = Shipped(15)
_LLM_CALLS: Final = Shipped(60)
_TOOL_CALLS: Final = Shipped(100)
_DEPTH: Final = Shipped(5)
_HANDOFFS: Final = Shipped(3)
_SECONDS: Final = Shipped(1800)
_TOKENS: Final = Shipped(1_000_000)
_USD: Final = Shipped(5)
_CALL_SECONDS: Final = Shipped(300)
_SESSION_RUNS: Final = Shipped(30)


class Limit(Struct, frozen=True, kw_only=True):
    """One limit."""

    metric: str
    """max_iterations, max_llm_calls, max_tool_calls, max_depth, max_handoffs, deadline (seconds), token_budget,
    cost_budget (USD), session_limit (runs of a session), quota (of a tenant)."""
    of: str = ""
    """What a session's or tenant's limit counts: runs, llm_calls, tool_calls, tokens, usd. Of the others, their own."""
    threshold: float
    scope: Scope = "run"
    mode: Mode = "stop"
    window: float | None = None
    """Seconds that a session's or tenant's limit looks back; None: for ever."""
    stated: bool = True
    """Whether somebody asked for it; else it is the shipped one."""
    unavailable: Literal["refuse", "allow"] = "refuse"
    """What happens when the ledger that keeps count cannot be reached."""


_RUN: Mapping[str, str] = {
    "iterations": "max_iterations", "llm_calls": "max_llm_calls", "tool_calls": "max_tool_calls", "depth": "max_depth",
    "handoffs": "max_handoffs", "seconds": "deadline", "tokens": "token_budget", "usd": "cost_budget",
}  # fmt: skip
"""Field of `Limits` → metric, for limits on one run."""

WRAPPING = ("iterations", "llm_calls", "tool_calls")
"""Figures whose limit may leave one turn more: where the limit is reached, there is still time, money and a request."""

_SHARED = ("runs", "llm_calls", "tool_calls", "tokens", "usd")
"""What limits of sessions and tenants count."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """A policy. Every figure is finite by default; None removes it. Money is USD, time is seconds."""

    iterations: Figure = _ITERATIONS
    llm_calls: Figure = _LLM_CALLS
    """Attempts, the failed ones too."""
    tool_calls: Figure = _TOOL_CALLS
    depth: Figure = _DEPTH
    """Runs inside runs; a run that nothing started is at depth 1."""
    handoffs: Figure = _HANDOFFS
    seconds: Figure = _SECONDS
    tokens: Figure = _TOKENS
    usd: Figure = _USD
    call_seconds: Figure = _CALL_SECONDS
    """For one model request, all its bytes."""
    call_tokens: Figure = None
    call_usd: Figure = None
    session_runs: Figure = _SESSION_RUNS
    session_llm_calls: Figure = None
    session_tool_calls: Figure = None
    session_tokens: Figure = None
    session_usd: Figure = None
    session_window: float | None = DAY
    tenant_runs: Figure = None
    tenant_llm_calls: Figure = None
    tenant_tool_calls: Figure = None
    tenant_tokens: Figure = None
    tenant_usd: Figure = None
    tenant_window: float | None = DAY
    modes: Mapping[str, Mode] = field(default_factory=dict)
    """Name of a figure above → what is done when it is reached; `stop` for those not named."""
    loops: Loops = _LOOPS
    strict: bool = False
    """Input tokens are reserved as UTF-8 bytes, an upper bound, instead of a per-model estimate with a margin."""
    unavailable: Literal["refuse", "allow"] = "refuse"
    """What happens to a session's or tenant's limit when the ledger cannot be reached."""
    early: tuple[float, ...] = ()
    """Parts of iterations, tool calls, tokens, USD and seconds at which the model is told, once each: (0.7, 0.9)."""

    def __post_init__(self) -> None:
        """Refuse what could never hold. Raises SettingsError."""
        for name in FIGURES:
            figure = getattr(self, name)
            if figure is not None and not (isfinite(figure) and figure >= 0):
                raise SettingsError(name, figure, "a number from 0 on, or None to remove the limit")
        for name in ("session_window", "tenant_window"):
            window = getattr(self, name)
            if window is not None and not (isfinite(window) and window > 0):
                raise SettingsError(name, window, "seconds, more than 0, or None for ever")
        for name, mode in self.modes.items():
            if name not in FIGURES:
                raise SettingsError("modes", name, f"one of {', '.join(FIGURES)}")
            if mode not in get_args(Mode):
                raise SettingsError(f"modes[{name!r}]", mode, f"one of {', '.join(get_args(Mode))}")
            if mode == "wrap_up" and name not in WRAPPING:
                wanted = f"a mode that leaves no turn; wrap_up is for {', '.join(WRAPPING)} and for loops"
                raise SettingsError(f"modes[{name!r}]", mode, wanted)
        if any(not 0 < part < 1 for part in self.early):
            raise SettingsError("early", self.early, "parts between 0 and 1, as (0.7, 0.9)")

    def within(self, policy: Limits) -> Limits:
        """These limits, none of them above a figure that a policy states; what it leaves as shipped is no bound.

        Where its figure counts, its mode does; and its window, where it bounds a session or tenant.
        """
        changes: dict[str, Any] = {}
        modes = dict(self.modes)
        for name in FIGURES:
            theirs, own = getattr(policy, name), getattr(self, name)
            if theirs is None or isinstance(theirs, Shipped) or (own is not None and own < theirs):
                continue
            changes[name] = theirs
            modes.pop(name, None)
            if name in policy.modes:
                modes[name] = policy.modes[name]
            scope = name.partition("_")[0]
            if scope in ("session", "tenant"):
                changes[f"{scope}_window"] = getattr(policy, f"{scope}_window")
        if policy.loops != _LOOPS and self.loops == _LOOPS:
            changes["loops"] = policy.loops
        return replace(self, modes=modes, strict=self.strict or policy.strict, **changes)

    def each(self) -> Iterator[Limit]:
        """Its limits in their normal form, removed ones left out; loops are apart."""
        for name, metric in _RUN.items():
            yield from self._one(name, metric, "run", "")
        for name in ("seconds", "tokens", "usd"):
            yield from self._one(f"call_{name}", _RUN[name], "call", "")
        for scope, metric in (("session", "session_limit"), ("tenant", "quota")):
            for name in _SHARED:
                yield from self._one(f"{scope}_{name}", metric, scope, name)

    def _one(self, name: str, metric: str, scope: Scope | str, of: str) -> Iterator[Limit]:
        figure = getattr(self, name)
        if figure is None:
            return
        yield Limit(
            metric=metric,
            of=of,
            threshold=float(figure),
            scope=scope,  # type: ignore[arg-type]  # one of the four words above
            mode=self.modes.get(name, "stop"),
            window=getattr(self, f"{scope}_window", None),
            stated=not isinstance(figure, Shipped),
            unavailable=self.unavailable,
        )


FIGURES: Final = (
    *_RUN,
    *(f"call_{name}" for name in ("seconds", "tokens", "usd")),
    *(f"{scope}_{of}" for scope in ("session", "tenant") for of in _SHARED),
)
"""Names of the figures of `Limits`, those that `modes` may name."""
