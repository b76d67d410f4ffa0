"""`tachograph stats`: what a period adds up to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from tachograph.cli import human, machine, options
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.columns import ALWAYS, Column, table
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries import wording
from tachograph.queries.stats import CONDITIONS, DIMENSIONS, Group, Latency, Outcomes, Stats, stats

app = command_app()

_SECONDS = {"day": 86_400, "hour": 3_600}


@app.command("stats", cls=QuickCommand)
@command
def command_stats(
    terminal: Terminal,
    *,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="WHAT", help=f"Groups; more than one are combined. One of {', '.join(DIMENSIONS)}."
        ),
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    agent: options.Agent = None,
    project: options.Project = None,
    session: options.Session = None,
    model: Annotated[str | None, typer.Option("--model", help="Only calls of this model.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME=VALUE", help=f"Any other condition: {', '.join(CONDITIONS)}."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Most groups to show.")] = 30,
) -> None:
    """Add up a period: cost, tokens by class, success, and latency percentiles.

    Grouped by model unless --by says otherwise. With --json: one object, every group in it.
    """
    named = {"agent": agent, "project": project, "session": session, "model": model}
    where = {name: value for name, value in named.items() if value is not None} | _conditions(only or ())
    wanted = tuple(part for text in by or ("model",) for part in text.split(","))
    period = options.period(terminal, since, until)
    try:
        found = stats(terminal.store, terminal.clock.now(), period, by=wanted, where=where)
    except ValueError as problem:
        raise SettingsError("--by or --only", [*wanted, *where], str(problem)) from problem
    if terminal.json:
        terminal.give(as_json(found))
    else:
        terminal.show(*draw(found, terminal.out.width, limit))


def _conditions(only: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in only]
    for name, equals, value in pairs:
        if not equals:
            raise SettingsError("--only", f"{name}{equals}{value}", "NAME=VALUE")
    return {name: value for name, _, value in pairs}


def draw(found: Stats, width: int, limit: int = 30) -> Iterator[Any]:
    """The totals, the groups, and what went wrong most often."""
    yield _totals(found)
    if found.groups:
        yield Text()
        yield _groups(found, limit, width)
    if len(found.groups) > limit:
        yield Text(f"… {len(found.groups) - limit:,} more (--limit)", "dim")
    if found.errors:
        worst = "  ".join(
            f"{human.line(each.error.rpartition('.')[2] or 'error')} {each.count:,}× in {each.step}"
            for each in found.errors[:4]
        )
        yield Text(f"\nerrors  {worst}", "red")


def _totals(found: Stats) -> Table:
    total = found.total
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("period", f"{_bound(found.since, 'the beginning')} to {_bound(found.until, 'now')}")
    table.add_row("runs", _outcomes(total.runs))
    table.add_row("model calls", _outcomes(total.calls))
    table.add_row("tool calls", _outcomes(total.tools))
    table.add_row("tokens", _tokens(total))
    table.add_row("cost", Text(_cost(total), "bold"))
    if total.first_token is not None:
        first = total.first_token
        told = (("p50", first.p50_ns), ("p95", first.p95_ns))
        shown = "  ".join(f"{name} {wording.duration(ns)}" for name, ns in told)
        table.add_row("first token", shown)
    return table


def _bound(ns: int | None, unbounded: str) -> str:
    return unbounded if ns is None else human.moment(ns)


def _outcomes(found: Outcomes) -> str:
    parts = [wording.count(found.count)]
    if found.ended:
        parts.append(f"{wording.share(found.success_rate)} completed")
    parts += [f"{count:,} {status}" for status, count in sorted(found.by_status.items()) if status != "completed"]
    if found.latency is not None:
        parts.append(_latency(found.latency))
    return " · ".join(parts)


def _latency(found: Latency) -> str:
    told = (("p50", found.p50_ns), ("p95", found.p95_ns), ("max", found.max_ns))
    return "  ".join(f"{name} {wording.duration(ns)}" for name, ns in told)


def _tokens(group: Group) -> str:
    tokens = group.tokens
    classes = (
        ("input", tokens.input_uncached),
        ("cache read", tokens.cache_read),
        ("cache write", tokens.cache_write),
        ("output", tokens.output),
        ("of it reasoning", tokens.reasoning),
    )
    said = " · ".join(f"{wording.short(figure)} {name}" for name, figure in classes if figure != 0)
    missing = f"{said and ' · '}{wording.some(tokens.missing, 'call')} without usage" if tokens.missing else ""
    return f"{said}{missing}" or "0"


def _cost(group: Group) -> str:
    money = group.cost
    parts = [wording.money(money.total, money.unpriced)]
    if money.unpriced:
        parts.append(f"{wording.some(money.unpriced, 'call')} without a price")
    if money.reported:
        parts.append(f"{wording.money(money.reported)} as reported")
    return " · ".join(parts)


def _groups(found: Stats, limit: int, width: int) -> Table:
    groups = found.groups[:limit]
    calls_only = not {"model", "provider"}.isdisjoint(found.by)
    outcomes = [group.calls if calls_only else group.runs for group in groups]

    def column(name: str, texts: Iterable[str], keep: int) -> Column:
        return Column(name, [Text(text) for text in texts], right=True, keep=keep)

    keys = [
        Column(name, [Text(key_text(name, group.key[place]), "bold") for group in groups], gives_way=True)
        for place, name in enumerate(found.by)
    ]
    counts = [column("calls" if calls_only else "runs", (wording.count(each.count) for each in outcomes), ALWAYS)]
    counts.append(column("ok", (wording.share(each.success_rate) for each in outcomes), 7))
    if not calls_only:
        counts.append(column("calls", (wording.count(group.calls.count) for group in groups), 4))
        counts.append(column("tools", (wording.count(group.tools.count) for group in groups), 4))
    sums = [
        column("input", (wording.short(group.tokens.input_total) for group in groups), 6),
        column("cached", (wording.short(group.tokens.cache_read) for group in groups), 3),
        column("output", (wording.short(group.tokens.output) for group in groups), 6),
        column("cost", (wording.money(group.cost.total, group.cost.unpriced) for group in groups), ALWAYS),
    ]
    times = [
        column(name, (_quantile(each.latency, name) for each in outcomes), keep)
        for name, keep in (("p50", 5), ("p95", 5), ("p99", 1))
    ]
    return table([*keys, *counts, *sums, *times], width)


def _quantile(found: Latency | None, name: str) -> str:
    return "" if found is None else wording.duration(getattr(found, f"{name}_ns"))


def key_text(name: str, key: str | int) -> str:
    """A group's key for people and programs: days and hours are spelled out (UTC)."""
    if isinstance(key, int) and name in _SECONDS:
        when = datetime.fromtimestamp(key * _SECONDS[name], UTC)
        return when.strftime("%Y-%m-%d" if name == "day" else "%Y-%m-%d %H:00")
    return human.line(str(key)) or wording.UNKNOWN


def as_json(found: Stats) -> dict[str, Any]:
    """Everything, with days spelled out and money as decimal USD beside the nano-USD."""
    return {
        **msgspec.to_builtins(found),
        "total": _group_json(found, found.total),
        "groups": [_group_json(found, group) for group in found.groups],
    }


def _group_json(found: Stats, group: Group) -> Mapping[str, Any]:
    form: dict[str, Any] = msgspec.to_builtins(group)
    pairs = zip(found.by, group.key, strict=False)  # the total has no key
    form["key"] = {name: key_text(name, key) if name in _SECONDS else key for name, key in pairs}
    for name in ("runs", "calls", "tools"):
        form[name]["success_rate"] = getattr(group, name).success_rate
    form["tokens"]["input_total"] = group.tokens.input_total
    form["cost"]["total_usd"] = machine.dollars(group.cost.total)
    return form
