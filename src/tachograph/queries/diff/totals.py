"""What two sides add up to, and the difference: calls, tokens by class, cost, time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from tachograph.queries.diff.sides import Side
from tachograph.queries.pages import total
from tachograph.queries.runs import Run
from tachograph.queries.units import ms, usd
from tachograph.store.ports import Reading
from tachograph.store.query import Measure, Query, Where

Unit = Literal["count", "tokens", "usd", "ms"]


class Total(Struct, frozen=True, kw_only=True):
    """One figure of both runs."""

    name: str
    unit: Unit
    left: Annotated[float | None, Meta(description="Null when nobody knows.")]
    right: float | None
    difference: Annotated[float | None, Meta(description="`right - left`; null where one of them is unknown.")]
    left_is_least: Annotated[bool, Meta(description="Whether it is a lower bound: some calls say nothing of it.")] = (
        False
    )
    right_is_least: bool = False


class _Figure(NamedTuple):
    value: int | None
    is_least: bool = False


_UNITS: Mapping[str, Unit] = {
    "duration_ms": "ms", "llm_calls": "count", "tool_calls": "count", "errors": "count", "interventions": "count",
    "input_tokens": "tokens", "uncached_tokens": "tokens", "cache_read_tokens": "tokens",
    "cache_write_tokens": "tokens", "output_tokens": "tokens", "reasoning_tokens": "tokens", "total_cost": "usd",
}  # fmt: skip
_TOKENS = {
    "input_tokens": "input_total", "uncached_tokens": "input_uncached", "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write", "output_tokens": "output", "reasoning_tokens": "reasoning",
}  # fmt: skip


def totals(store: Reading, left: Side, right: Side) -> tuple[Total, ...]:
    """Every figure of both, runs below included; of a run that was forked only what is behind the fork."""
    ours, theirs = _sums(store, left), _sums(store, right)
    return tuple(_total(name, unit, ours[name], theirs[name]) for name, unit in _UNITS.items())


def _total(name: str, unit: Unit, left: _Figure, right: _Figure) -> Total:
    apart = None if left.value is None or right.value is None else _said(unit, right.value - left.value)
    return Total(
        name=name,
        unit=unit,
        left=_said(unit, left.value),
        right=_said(unit, right.value),
        difference=apart,
        left_is_least=left.is_least,
        right_is_least=right.is_least,
    )


def _said(unit: Unit, value: int | None) -> float | None:
    if value is None:
        return None
    return usd(value) if unit == "usd" else ms(value) if unit == "ms" else value


def _sums(store: Reading, side: Side) -> dict[str, _Figure]:
    runs = [each.run for each in side.runs]
    if side.after < 0:
        return {"duration_ms": _Figure(side.run.duration_ns), **_added(map(_of_run, runs))}
    return {"duration_ms": _Figure(_since(side)), **_added([_behind(store, side), *map(_of_run, runs[1:])])}


def _of_run(run: Run) -> dict[str, _Figure]:
    is_open = run.duration_ns is None  # a call of it may be under way
    return {
        **{name: _Figure(getattr(run, name)) for name in ("llm_calls", "tool_calls", "errors", "interventions")},
        **{name: _Figure(getattr(run, field), is_open or run.usage_missing > 0) for name, field in _TOKENS.items()},
        "total_cost": _Figure(run.cost, is_open or run.unpriced > 0),
    }


def _behind(store: Reading, side: Side) -> dict[str, _Figure]:
    """The same of the run that was forked, behind the fork."""
    where = (Where("run", "eq", side.runs[0].pk), Where("step", "gt", side.after))
    sums = tuple(Measure("sum", name) for name in (*list(_TOKENS)[1:], "cost_nano"))
    known = Measure("count", "input_tokens"), Measure("count", "cost_nano")
    calls = store.find(Query("calls", where, measures=(Measure("count"), *sums, *known))).rows[0]
    failed = (("calls", "status"), ("tool_calls", "state"))
    errors = sum(total(store, Query(table, (*where, Where(column, "eq", "failed")))) for table, column in failed)
    made = calls["count"]
    uncounted, unpriced = made > calls["count_input_tokens"], made > calls["count_cost_nano"]
    tokens = {name: _Figure(calls[f"sum_{name}"] if made else 0, uncounted) for name in list(_TOKENS)[1:]}
    parts = [tokens[name].value for name in ("uncached_tokens", "cache_read_tokens", "cache_write_tokens")]
    known_parts = [part for part in parts if part is not None]
    return {
        "llm_calls": _Figure(made),
        "tool_calls": _Figure(total(store, Query("tool_calls", where))),
        "errors": _Figure(errors),
        "interventions": _Figure(None),
        **tokens,
        "input_tokens": _Figure(sum(known_parts) if known_parts else None, uncounted),
        "total_cost": _Figure(calls["sum_cost_nano"] if made else 0, unpriced),
    }


def _since(side: Side) -> int | None:
    """Nanoseconds from the first step that is compared to the end of the run."""
    run = side.run
    first = min((each.row["started_at"] for each in side.entries if each.run.id == run.id), default=None)
    if run.duration_ns is None:
        return None
    return 0 if first is None else max(0, run.started_at + run.duration_ns - first)


def _added(parts: Iterable[Mapping[str, _Figure]]) -> dict[str, _Figure]:
    """Figures of several runs together; what one of them does not know makes the sum a lower bound."""
    found = list(parts)
    return {name: _sum([each[name] for each in found]) for name in found[0]}


def _sum(figures: list[_Figure]) -> _Figure:
    known = [figure.value for figure in figures if figure.value is not None]
    is_least = len(known) < len(figures) or any(figure.is_least for figure in figures)
    # A sum of nothing but what nobody gave is not known, either: no false zero.
    return _Figure(sum(known), is_least) if any(known) or (known and not is_least) else _Figure(None)
