"""`tachograph prune`: what is old, or too much, goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from tachograph.cli import exits, human
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import SettingsError
from tachograph.queries import wording

if TYPE_CHECKING:
    from tachograph.upkeep.prune import Pruned
    from tachograph.upkeep.rule import Rule

app = command_app()


@app.command(cls=QuickCommand)
@command
def prune(
    terminal: Terminal,
    *,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Runs that ended longer ago: 30d, 12h.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only runs that are completed, failed, cancelled or abandoned.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only runs with this tag.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only runs of this tenant.")] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option("--max-bytes", metavar="SIZE", help="The oldest, until the store has no more: '5 GB', '800 MiB'."),
    ] = None,
    keep_tag: Annotated[str, typer.Option("--keep-tag", metavar="TAG", help="Runs with this tag stay.")] = "keep",
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="Write what goes to Parquet files there first.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Erase runs for good, as the policies say, or what meets all of these options. Recording goes on meanwhile.

    Open runs stay, and so do runs tagged `keep` and whoever started them. Whatever a run started goes with it. The
    policies stand in policies.toml in the data folder (docs/retention.md). With --json: one object.
    """
    from tachograph.upkeep.policies import path_of, policies_for

    given = {
        "older_than": older_than, "status": status or None, "tag": tag, "tenant": tenant, "max_bytes": max_bytes,
    }  # fmt: skip
    if any(value is not None for value in given.values()):
        rules: Sequence[Rule] = (_rule({**given, "keep_tag": keep_tag}),)
    else:
        rules = policies_for(terminal.settings).rules
    if not rules:
        raise SettingsError(
            "prune", str(path_of(terminal.settings)), "a file with [[retention]] rules, or say --older-than, --tag, …"
        )
    foreseen = _prune(terminal, rules, archive, dry=True)
    if dry or not foreseen.sum("runs"):
        _report(terminal, foreseen)
        return exits.OK
    if not yes and not _agreed(terminal, foreseen):
        return exits.USAGE
    with terminal.progress("pruning"):
        done = _prune(terminal, rules, archive, dry=False)
    _report(terminal, done)
    return exits.OK


def _rule(given: dict[str, Any]) -> Rule:
    """The rule that the options make. Raises SettingsError with the option's name."""
    from tachograph.upkeep import amounts
    from tachograph.upkeep.rule import Rule

    readers: Mapping[str, Callable[[Any], Any]] = {
        "older_than": amounts.duration,
        "max_bytes": amounts.size,
        "status": tuple,
    }
    values = {}
    for name, value in given.items():
        if value is None:
            continue
        try:
            values[name] = readers.get(name, str)(value)
        except ValueError as problem:
            raise SettingsError(f"--{name.replace('_', '-')}", value, str(problem)) from problem
    return Rule(name="command line", **values)


def _prune(terminal: Terminal, rules: Sequence[Rule], archive: Path | None, *, dry: bool) -> Pruned:
    from tachograph.compose import admitter_for, heads_of, scrubber_for
    from tachograph.record.after.audit import keep
    from tachograph.upkeep.prune import prune

    store = terminal.store
    admitter = admitter_for(terminal.settings, store, scrubber_for(terminal.settings))
    return prune(
        store, rules, terminal.clock.now(), partial(keep, store, admitter), clock=terminal.clock, archive_into=archive,
        dry=dry, forget=heads_of(terminal.settings).forget,
    )  # fmt: skip


def _agreed(terminal: Terminal, foreseen: Pruned) -> bool:
    """Whether that may go."""
    if not terminal.interactive:
        terminal.tell(f"Nothing erased: {_what(foreseen)} would go. Say --yes to erase them.")
        return False
    return typer.confirm(f"Erase {_what(foreseen)} for good?", default=False, err=True)


def _report(terminal: Terminal, done: Pruned) -> None:
    if terminal.json:
        figures = ("runs", "events", "steps", "llm_calls", "tool_calls")
        sums = {name: done.sum(name) for name in figures}
        terminal.give({**sums, **msgspec.to_builtins(done), "returned": done.returned})
        return
    terminal.show(*_said(done))


def _said(done: Pruned) -> Iterator[str]:
    if not done.sum("runs"):
        yield "Nothing to prune."
    elif done.dry:
        yield f"{_what(done)} would go"
        yield f"the store has {wording.size(done.bytes_before)}; about {wording.size(done.bytes_after)} would be left"
    else:
        yield f"{_what(done)} erased"
    for swept in done.rules if len(done.rules) > 1 else ():
        yield f"  {human.line(swept.rule)}: {wording.some(swept.runs, 'run')} ({human.line(swept.conditions)})"
    for swept in done.rules:
        for folder in swept.archives:
            yield f"archived in {folder}"
        if swept.left:
            yield f"{wording.some(swept.left, 'run')} changed meanwhile and stay for the next time"
    if not done.dry and done.returned > 0:
        yield (
            f"{wording.size(done.returned)} given back: the store had {wording.size(done.bytes_before)}, "
            f"now {wording.size(done.bytes_after)}"
        )
    elif not done.dry and done.sum("runs"):
        yield f"the store has {wording.size(done.bytes_after)}, no less than before: more was recorded meanwhile"


def _what(done: Pruned) -> str:
    counted = (("runs", "run"), ("steps", "step"), ("llm_calls", "model call"), ("tool_calls", "tool call"))
    return ", ".join(wording.some(done.sum(name), thing) for name, thing in counted)
